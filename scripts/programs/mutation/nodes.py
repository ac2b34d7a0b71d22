"""Pieces of syntax, changed or told of."""

from collections.abc import Iterator, Sequence

import libcst as cst
import libcst.matchers as m

NO_COMMA = cst.MaybeSentinel.DEFAULT


def with_elements(node: cst.CSTNode, elements: Sequence[cst.CSTNode]) -> cst.CSTNode:
    plain = [one.with_changes(comma=NO_COMMA) for one in elements]
    changed = node.with_changes(elements=plain)
    if isinstance(changed, cst.Tuple) and not changed.lpar:
        changed = changed.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return changed


def other_arguments(node: cst.Call) -> Iterator[cst.CSTNode]:
    """What mutmut does to arguments, where that is no sentence and no plain error."""
    for at, arg in enumerate(node.args):
        # None for False is mypy's; it means the same.
        if not (is_sentence(arg.value) or arg.star or m.matches(arg.value, m.Name("False"))):
            given = arg.with_changes(value=cst.Name("None"))
            if not m.matches(arg.value, m.Name("None")):
                yield node.with_changes(args=[*node.args[:at], given, *node.args[at + 1 :]])
            if arg.keyword is not None:
                yield node.with_changes(args=[*node.args[:at], *node.args[at + 1 :]])


def negated(test: cst.BaseExpression) -> cst.BaseExpression:
    inner = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.UnaryOperation(cst.Not(), inner)


def is_sentence(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.SimpleString):
        return " " in node.value and "r" not in node.prefix
    return isinstance(node, cst.FormattedString | cst.ConcatenatedString)


def difference(before: str, after: str) -> tuple[str, str]:
    """Both on one line, without most of what is the same in them."""
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
    flat = " ".join(text.split())
    return flat if len(flat) <= 90 else f"{flat[:50]} … {flat[-35:]}"
