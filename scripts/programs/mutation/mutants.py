"""Makes mutants of a module: its text with one small change.

The changes to expressions are those of mutmut. mutmut itself only changes plain functions, and no
tables, constants, lambdas in them or properties. So this module applies its operators to the whole
text, and adds operators for tables and orders: a row is dropped, two rows are swapped, a condition
loses a half, an enum member is replaced by another.

Not changed are sentences (a string with a blank that is not raw, and formatted strings), log lines,
annotations, decorators, imports, and names of types. Codes are changed.
"""

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """One change; ``text`` is the changed module.

    ``key`` identifies it by scope and change, independently of the line.
    """

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
    """Every mutant of ``path`` that compiles, by lines; of equal texts only the first.

    ``names``: only of these classes, functions and tables; None: of all.
    """
    text = (root / path).read_text(encoding="utf-8")
    made = _Maker(path, text, enum_members(root)).made()
    by_text: dict[str, Mutant] = {}
    counts: dict[str, int] = {}
    for mutant in sorted(made, key=lambda mutant: mutant.line):
        if names is not None and re.split(r"\W", mutant.scope)[0] not in names:
            continue
        if mutant.text == text or mutant.text in by_text or not _compiles(mutant.text):
            continue
        nth = counts[mutant.key] = counts.get(mutant.key, 0) + 1
        by_text[mutant.text] = replace(mutant, nth=nth)
    return list(by_text.values())


@cache
def enum_members(root: Path) -> Mapping[str, Sequence[str]]:
    """The names of the members of each enum of spsd, by the name of its class."""
    enums: dict[str, list[str]] = {}
    for path in sorted((root / "spsd").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and "Enum" in ast.unparse(node).partition("\n")[0]:
                names = [line.targets[0] for line in node.body if isinstance(line, ast.Assign)]
                members = [name.id for name in names if isinstance(name, ast.Name)]
                enums.setdefault(node.name, members)
    return enums


class _Maker(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ByteSpanPositionProvider)

    def __init__(self, path: str, text: str, enums: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._path, self._bytes = path, text.encode()
        self._enums = enums
        self._module = cst.parse_module(text)
        self._scopes: list[str] = []
        self._made: list[Mutant] = []
        self._exceptions: set[cst.CSTNode] = set()  # their order has no meaning
        self._whole_table = path.endswith("/lifecycle.py")
        self._is_order = path.endswith("/recovery.py")
        self._is_sql = path.endswith("/sqlite.py")

    def made(self) -> Sequence[Mutant]:
        """All mutants of the module, also equal ones and those that do not compile."""
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
            is_log_line = self._code(only).startswith(("_log.", "assert_never("))
            return isinstance(only.value, cst.BaseString) or is_log_line
        called = self._code(node.func) if isinstance(node, cst.Call) else ""
        return called.rpartition(".")[2] in _NAMES_OF_TYPES

    def _changes(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        if isinstance(node, cst.Call):
            yield from other_arguments(node)
        if not isinstance(node, cst.BaseString) or not (is_sentence(node) or self._is_sql):
            for kind, operator in mutation_operators:
                if isinstance(node, kind) and not self._is_idle(node, operator):
                    changed = list(operator(node))
                    yield from changed[:1] if isinstance(node, cst.BaseString) else changed
        if isinstance(node, cst.BooleanOperation):
            yield from (node.left, node.right)
        elif isinstance(node, cst.If | cst.CompIf | cst.While):
            yield node.with_changes(test=negated(node.test))
        elif isinstance(node, cst.Attribute) and isinstance(node.value, cst.Name):
            yield from self._members(node, node.value.value)

    def _is_idle(self, node: cst.CSTNode, operator: Callable[..., object]) -> bool:
        """Whether the operator is of no use: its change fails at import or at the first call."""
        typed = isinstance(node, cst.AnnAssign)  # mypy refuses None, or None is the value
        # mypy refuses None for False too, and both mean the same.
        typed |= isinstance(node, cst.Assign) and self._code(node.value) == "False"
        constant = typed or (isinstance(node, cst.Assign) and not self._scopes)
        return constant or operator is operator_arg_removal

    def _members(self, node: cst.Attribute, enum: str) -> Iterator[cst.CSTNode]:
        members = self._enums.get(enum, ())
        if node.attr.value in members:
            index = members.index(node.attr.value)
            others = [*members[index + 1 :], *members[:index]]
            for other in others if self._whole_table else others[:1]:
                yield node.with_changes(attr=cst.Name(other))

    def _statements(self, block: cst.IndentedBlock) -> None:
        """Statements with an effect are dropped; in recovery, neighbours are swapped."""
        for line in block.body:
            if isinstance(line, cst.SimpleStatementLine) and not self._is_left_out(line):
                only = line.body[0]
                sets = isinstance(only, cst.Assign) and "self." in self._code(only.targets[0])
                if isinstance(only, cst.Expr | cst.AugAssign | cst.Raise) or sets:
                    self._put(line.body[0], cst.Pass())
        if self._is_order:
            lines = [line for line in block.body if not self._is_left_out(line)]
            for first, second in pairwise(lines):
                self._swap(first, second)

    def _rows(self, node: cst.Tuple | cst.List | cst.Set | cst.Dict) -> None:
        """Each element is dropped; neighbours are swapped."""
        rows: Sequence[cst.BaseElement | cst.BaseDictElement] = node.elements
        texts = [short(self._code(row.with_changes(comma=NO_COMMA))) for row in rows]
        for index, row in enumerate(rows):
            rest = [*rows[:index], *rows[index + 1 :]]
            if rest or not isinstance(node, cst.Set):
                code = self._code(with_elements(node, rest))
                self._add(row, self._span(node), code.encode(), texts[index], "dropped")
        if isinstance(node, cst.Tuple | cst.List) and node not in self._exceptions:
            for index, (text, next_text) in enumerate(pairwise(texts)):
                swapped = [*rows[:index], rows[index + 1], rows[index], *rows[index + 2 :]]
                code = self._code(with_elements(node, swapped))
                before = f"{text} <-> {next_text}"
                self._add(rows[index], self._span(node), code.encode(), before, "swapped")

    def _swap(self, first: cst.CSTNode, second: cst.CSTNode) -> None:
        (a, b), (c, d) = self._span(first), self._span(second)
        first_code, second_code = self._bytes[a:b], self._bytes[c:d]
        before = f"{short(first_code.decode())} <-> {short(second_code.decode())}"
        self._add(first, (a, d), second_code + self._bytes[b:c] + first_code, before, "swapped")

    def _sql(self, node: cst.CSTNode) -> None:
        start, end = self._span(node)
        text = self._bytes[start:end].decode()
        for pattern, change in _SQL:
            for match in pattern.finditer(text):
                put = f"{match[0]} DESC" if "round" in change else ""
                if "dropped" in change and match[0].startswith(" WHERE") and "\n" in match[0]:
                    put = "\n"
                changed = text[: match.start()] + put + text[match.end() :]
                before = " ".join(match[0].split())
                self._add(node, (start, end), changed.encode(), before, change)

    def _put(self, node: cst.CSTNode, changed: cst.CSTNode) -> None:
        code = self._code(changed)
        if isinstance(node, cst.If | cst.CompIf | cst.While):  # only the condition is replaced
            assert isinstance(changed, cst.If | cst.CompIf | cst.While)
            node, code = node.test, self._code(changed.test)
        before, after = difference(self._code(node).strip(), code.strip())
        self._add(node, self._span(node), code.encode(), short(before), short(after))

    def _add(
        self, node: cst.CSTNode, span: tuple[int, int], code: bytes, before: str, after: str
    ) -> None:
        text = (self._bytes[: span[0]] + code + self._bytes[span[1] :]).decode()
        line = self.get_metadata(PositionProvider, node).start.line
        scope = ".".join(self._scopes) or self._name_of(line)
        self._made.append(Mutant(self._path, scope, line, before, after, text))

    def _name_of(self, line: int) -> str:
        """The name of the constant that contains the line, and of the row if it is a table."""
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


def sample(all_mutants: Iterable[Mutant], size: int) -> Sequence[Mutant]:
    """``size`` mutants, spread evenly; size 0: all."""
    in_order = list(all_mutants)
    step = max(1, len(in_order) // size) if size else 1
    return in_order[::step][: size or None]
