"""Functions that change nodes of a syntax tree, and that shorten code for keys."""

from collections.abc import Iterator, Sequence

import libcst as cst
import libcst.matchers as m

NO_COMMA = cst.MaybeSentinel.DEFAULT


def with_elements(node: cst.CSTNode, elements: Sequence[cst.CSTNode]) -> cst.CSTNode:
    """A collection with other elements, with commas as the printer sets them."""
    plain = [element.with_changes(comma=NO_COMMA) for element in elements]
    changed = node.with_changes(elements=plain)
    if isinstance(changed, cst.Tuple) and not changed.lpar:
        changed = changed.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return changed


def other_arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    """mutmut's changes of arguments, without those of sentences and those that always fail."""
    for index, arg in enumerate(node.args):
        # mypy refuses None for False, and both mean the same.
        if not (is_sentence(arg.value) or arg.star or m.matches(arg.value, m.Name("False"))):
            none = arg.with_changes(value=cst.Name("None"))
            before, after = node.args[:index], node.args[index + 1 :]
            if not m.matches(arg.value, m.Name("None")):
                yield node.with_changes(args=[*before, none, *after])
            if arg.keyword is not None:
                yield node.with_changes(args=[*before, *after])


def negated(test: cst.BaseExpression) -> cst.BaseExpression:
    """``not (test)``."""
    inner = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.UnaryOperation(cst.Not(), inner)


def is_sentence(node: cst.CSTNode) -> bool:
    """Whether the node is text for people: a string with a blank that is not raw, or formatted."""
    if isinstance(node, cst.SimpleString):
        return " " in node.value and "r" not in node.prefix
    return isinstance(node, cst.FormattedString | cst.ConcatenatedString)


def difference(before: str, after: str) -> tuple[str, str]:
    """Both texts on one line; of long ones the common words at both ends are removed but one."""
    a, b = " ".join(before.split()), " ".join(after.split())
    if max(len(a), len(b)) <= 60:
        return a, b
    words, others = a.split(), b.split()
    start = 0
    while start < min(len(words), len(others)) and words[start] == others[start]:
        start += 1
    end = 0
    most = min(len(words), len(others)) - start
    while end < most and words[-1 - end] == others[-1 - end]:
        end += 1
    start, end = max(0, start - 1), max(0, end - 1)
    return (
        " ".join(words[start : len(words) - end]),
        " ".join(others[start : len(others) - end]),
    )


def short(text: str) -> str:
    """The text on one line, with at most 90 characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= 90 else f"{flat[:50]} … {flat[-35:]}"
