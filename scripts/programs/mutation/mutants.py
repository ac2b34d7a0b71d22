"""Makes mutants of a module: its text with one small thing changed.

The changes to expressions are mutmut's. mutmut itself leaves out what is written outside of plain
functions: tables, constants, lambdas in them, properties. So its operators are applied to the
whole module here, and a few of our own that tables and orders want are added: a row is dropped,
two rows trade places, a condition loses a half, an enum's member becomes another.

Left out as a class: sentences (a string with a blank that is not raw, and what is formatted from
it), log lines, annotations, decorators, imports, and the names of types. Codes are not left out.
"""

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal

from scripts.programs.mutation.nodes import (
    NO_COMMA,
    difference,
    is_sentence,
    negated,
    other_arguments,
    short,
    with_elements,
)

_LEFT_OUT = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Subscript)
_NAMES_OF_TYPES = {"TypeVar", "NewType", "getLogger", "assert_never"}
_SQL = (
    (re.compile(r"(?<=WHERE )(?:\S+ = \S+) AND "), "first condition dropped"),
    (re.compile(r" AND \w+ = :?[\w?]+"), "condition dropped"),
    (re.compile(r" WHERE [^\n]*\n"), "all conditions dropped"),
    (re.compile(r"(?<=[ \n])(?!state = 'q)(\w+) = :\1,\s+"), "column not set"),
    (re.compile(r" ORDER BY \w+"), "order dropped"),
    (re.compile(r"(?<=ORDER BY )\w+"), "order turned round"),
    (re.compile(r"AND sha256 NOT IN \([^)]*\)\)"), "condition dropped"),
    (re.compile(r"state = 'queued' (?=\")"), "condition dropped"),
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change. ``key`` names it wherever it stands in the file; ``text`` is the module."""

    path: str
    scope: str
    line: int
    before: str
    after: str
    text: str
    nth: int = 1

    @property
    def key(self) -> str:
        again = f" #{self.nth}" if self.nth > 1 else ""
        return f"{self.path}::{self.scope}: {self.before} => {self.after}{again}"


def mutants(root: Path, path: str, names: Collection[str] | None = None) -> Sequence[Mutant]:
    """Every mutant of ``path``, in the order of the text; none is written twice.

    ``names``: only of these classes, functions and tables.
    """
    text = (root / path).read_text(encoding="utf-8")
    made = _Maker(path, text, enum_members(root)).made()
    seen: dict[str, Mutant] = {}
    counts: dict[str, int] = {}
    for one in sorted(made, key=lambda mutant: mutant.line):
        if names is not None and re.split(r"\W", one.scope)[0] not in names:
            continue
        if one.text == text or one.text in seen or not _compiles(one.text):
            continue
        nth = counts[one.key] = counts.get(one.key, 0) + 1
        seen[one.text] = Mutant(one.path, one.scope, one.line, one.before, one.after, one.text, nth)
    return list(seen.values())


@cache
def enum_members(root: Path) -> Mapping[str, Sequence[str]]:
    """The enums of spsd, with the names of their members."""
    found: dict[str, list[str]] = {}
    for path in sorted((root / "spsd").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and "Enum" in ast.unparse(node).partition("\n")[0]:
                names = [one.targets[0] for one in node.body if isinstance(one, ast.Assign)]
                members = [name.id for name in names if isinstance(name, ast.Name)]
                if node.name not in found:  # two are called Verdict; their members differ
                    found[node.name] = members
    return found


class _Maker(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ByteSpanPositionProvider)

    def __init__(self, path: str, text: str, enums: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._path, self._bytes = path, text.encode()
        self._enums = enums
        self._module = cst.parse_module(text)
        self._scopes: list[str] = []
        self._made: list[Mutant] = []
        self._exceptions: set[cst.CSTNode] = set()  # an order means nothing in them
        self._whole_table = path.endswith("/lifecycle.py")
        self._is_order = path.endswith("/recovery.py")
        self._is_sql = path.endswith("/sqlite.py")

    def made(self) -> Sequence[Mutant]:
        MetadataWrapper(self._module, unsafe_skip_copy=True).visit(self)
        return self._made

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.ClassDef | cst.FunctionDef):
            self._scopes.append(node.name.value)
        elif self._is_left_out(node):
            return False
        for changed in self._changes(node):
            self._put(node, changed)
        if isinstance(node, cst.IndentedBlock):
            self._statements(node)
        if isinstance(node, cst.ExceptHandler) and node.type is not None:
            self._exceptions.add(node.type)
        if isinstance(node, cst.Tuple | cst.List | cst.Set | cst.Dict):
            self._rows(node)
        if self._is_sql and isinstance(node, cst.SimpleString | cst.FormattedString):
            self._sql(node)
        return True

    def on_leave(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.ClassDef | cst.FunctionDef):
            self._scopes.pop()

    def _is_left_out(self, node: cst.CSTNode) -> bool:
        if isinstance(node, _LEFT_OUT):
            return True
        if isinstance(node, cst.SimpleStatementLine):
            only = node.body[0]
            if not isinstance(only, cst.Expr):
                return False
            told = self._code(only).startswith(("_log.", "assert_never("))
            return isinstance(only.value, cst.BaseString) or told
        called = self._code(node.func) if isinstance(node, cst.Call) else ""
        return called.rpartition(".")[2] in _NAMES_OF_TYPES

    def _changes(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        if isinstance(node, cst.Call):
            yield from other_arguments(node)
        if not isinstance(node, cst.BaseString) or not (is_sentence(node) or self._is_sql):
            for kind, operator in mutation_operators:
                if isinstance(node, kind) and not self._is_idle(node, operator):
                    made = list(operator(node))
                    yield from made[:1] if isinstance(node, cst.BaseString) else made
        if isinstance(node, cst.BooleanOperation):
            yield from (node.left, node.right)
        elif isinstance(node, cst.If | cst.CompIf | cst.While):
            yield node.with_changes(test=negated(node.test))
        elif isinstance(node, cst.Attribute) and isinstance(node.value, cst.Name):
            yield from self._members(node, node.value.value)

    def _is_idle(self, node: cst.CSTNode, operator: Callable[..., object]) -> bool:
        """What fails as soon as it is imported or called tells nothing of a test."""
        typed = isinstance(node, cst.AnnAssign)  # mypy refuses None, or it is what stands there
        # None for False is mypy's, too; it means the same.
        typed |= isinstance(node, cst.Assign) and self._code(node.value) == "False"
        constant = typed or (isinstance(node, cst.Assign) and not self._scopes)
        return constant or operator is operator_arg_removal

    def _members(self, node: cst.Attribute, enum: str) -> Iterator[cst.CSTNode]:
        members = self._enums.get(enum, ())
        if node.attr.value in members:
            at = members.index(node.attr.value)
            others = [*members[at + 1 :], *members[:at]]
            for other in others if self._whole_table else others[:1]:
                yield node.with_changes(attr=cst.Name(other))

    def _statements(self, block: cst.IndentedBlock) -> None:
        """What stands alone is left out; in recovery neighbours trade places."""
        for one in block.body:
            if isinstance(one, cst.SimpleStatementLine) and not self._is_left_out(one):
                only = one.body[0]
                sets = isinstance(only, cst.Assign) and "self." in self._code(only.targets[0])
                if isinstance(only, cst.Expr | cst.AugAssign | cst.Raise) or sets:
                    self._put(one.body[0], cst.Pass())
        if self._is_order:
            lines = [one for one in block.body if not self._is_left_out(one)]
            for first, second in pairwise(lines):
                self._swap(first, second)

    def _rows(self, node: cst.Tuple | cst.List | cst.Set | cst.Dict) -> None:
        """Each is dropped; neighbours trade places."""
        each: Sequence[cst.BaseElement | cst.BaseDictElement] = node.elements
        told = [short(self._code(one.with_changes(comma=NO_COMMA))) for one in each]
        for at in range(len(each)):
            rest = [*each[:at], *each[at + 1 :]]
            if rest or not isinstance(node, cst.Set):
                code = self._code(with_elements(node, rest))
                self._add(each[at], self._span(node), code.encode(), told[at], "dropped")
        if isinstance(node, cst.Tuple | cst.List) and node not in self._exceptions:
            for at, (one, two) in enumerate(pairwise(told)):
                swapped = [*each[:at], each[at + 1], each[at], *each[at + 2 :]]
                code = self._code(with_elements(node, swapped))
                what = f"{one} <-> {two}"
                self._add(each[at], self._span(node), code.encode(), what, "swapped")

    def _swap(self, first: cst.CSTNode, second: cst.CSTNode) -> None:
        (a, b), (c, d) = self._span(first), self._span(second)
        one, two = self._bytes[a:b], self._bytes[c:d]
        told = f"{short(one.decode())} <-> {short(two.decode())}"
        self._add(first, (a, d), two + self._bytes[b:c] + one, told, "swapped")

    def _sql(self, node: cst.CSTNode) -> None:
        start, end = self._span(node)
        text = self._bytes[start:end].decode()
        for pattern, what in _SQL:
            for found in pattern.finditer(text):
                put = f"{found[0]} DESC" if "round" in what else ""
                if "dropped" in what and found[0].startswith(" WHERE") and "\n" in found[0]:
                    put = "\n"
                changed = text[: found.start()] + put + text[found.end() :]
                told = " ".join(found[0].split())
                self._add(node, (start, end), changed.encode(), told, what)

    def _put(self, node: cst.CSTNode, changed: cst.CSTNode) -> None:
        code = self._code(changed)
        if isinstance(node, cst.If | cst.CompIf | cst.While):  # only the test is written anew
            assert isinstance(changed, cst.If | cst.CompIf | cst.While)
            node, code = node.test, self._code(changed.test)
        told = self._code(node).strip(), code.strip()
        self._add(node, self._span(node), code.encode(), *map(short, difference(*told)))

    def _add(
        self, node: cst.CSTNode, span: tuple[int, int], code: bytes, before: str, after: str
    ) -> None:
        text = (self._bytes[: span[0]] + code + self._bytes[span[1] :]).decode()
        line = self.get_metadata(PositionProvider, node).start.line
        scope = ".".join(self._scopes) or self._name_of(line)
        self._made.append(Mutant(self._path, scope, line, before, after, text))

    def _name_of(self, line: int) -> str:
        """The constant that the line belongs to; the row, where it is a table."""
        lines = self._bytes.decode().splitlines()
        row = ""
        for text in reversed(lines[:line]):
            named = re.match(r'^        (?:    )?"([\w-]+)",$', text)
            if named and not row and text.startswith(" "):
                row = f"[{named[1]}]"
            if found := re.match(r"^(\w+)\b.* = ", text):
                return found[1] + row
        return "module"

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        span = self.get_metadata(ByteSpanPositionProvider, node)
        return span.start, span.start + span.length

    def _code(self, node: cst.CSTNode) -> str:
        return self._module.code_for_node(node)


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def sample(all_of_them: Iterable[Mutant], size: int) -> Sequence[Mutant]:
    """``size`` of them, spread evenly."""
    each = list(all_of_them)
    step = max(1, len(each) // size) if size else 1
    return each[::step][: size or None]
