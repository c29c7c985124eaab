"""Faults in Python."""

import ast
from itertools import accumulate
from typing import Any, override

from tests.mutation.edits import Edit, edit, numbers

_COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_CALCULATED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_QUIET = {"debug", "info"}


class _Places:
    """Where the nodes of a source are."""

    def __init__(self, source: str) -> None:
        lines = [line.encode() for line in source.splitlines(keepends=True)]
        self._lines = lines
        self._starts = [0, *accumulate(len(line.decode()) for line in lines)]

    def of(self, node: Any) -> tuple[int, int]:
        """From where to where it goes, in characters."""
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self._lines[line - 1][:column].decode())


def owners(source: str) -> dict[str, str]:
    """Functions, as a class and a name, and constants of a module, each with its text."""
    found: dict[str, str] = {}

    def look(body: list[ast.stmt], inside: str) -> None:
        for statement in body:
            text = ast.get_source_segment(source, statement) or ""
            match statement:
                case ast.ClassDef(name=name, body=inner):
                    look(inner, f"{inside}{name}.")
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found[f"{inside}{name}"] = text
                case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                    found[f"{inside}{name}"] = text

    look(ast.parse(source).body, "")
    return found


def edits(source: str) -> list[Edit]:
    """Changes of a module's Python, within what `owners` names; `if TYPE_CHECKING` has no owner."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    return [one for one in finder.found if one.owner]


class _Finder(ast.NodeVisitor):
    def __init__(self, source: str) -> None:
        self.found: list[Edit] = []
        self._source = source
        self._places = _Places(source)
        self._owner: list[str] = []
        self._in_function = 0

    def _put(self, node: ast.AST, new: ast.AST | str) -> None:
        start, end = self._places.of(node)
        text = new if isinstance(new, str) else ast.unparse(new)
        if isinstance(new, ast.Compare | ast.BoolOp | ast.BinOp | ast.UnaryOp):
            text = f"({text})"
        self.found.append(edit(".".join(self._owner), self._source, start, end, text))

    # Where we are -----------------------------------------------------------------------------

    @override
    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._owner.append(node.name)
        for statement in node.body:
            self.visit(statement)
        self._owner.pop()

    @override
    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    @override
    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if any("abstractmethod" in ast.unparse(decorator) for decorator in node.decorator_list):
            return
        nested = bool(self._in_function)
        if not nested:
            self._owner.append(node.name)
        self._in_function += 1
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)
        self._in_function -= 1
        if not nested:
            self._owner.pop()

    @override
    def visit_Assign(self, node: ast.Assign) -> None:
        if not self._in_function:
            if isinstance(node.targets[0], ast.Name):
                self._owner.append(node.targets[0].id)
                self.visit(node.value)
                self._owner.pop()
            return
        if not isinstance(node.targets[0], ast.Name | ast.Tuple):
            self._put(node, "pass")
        self.generic_visit(node)

    @override
    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            named = not self._in_function and isinstance(node.target, ast.Name)
            if named:
                self._owner.append(ast.unparse(node.target))
            self.visit(node.value)
            if named:
                self._owner.pop()

    @override
    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._put(node, "pass")
        other = _CALCULATED.get(type(node.op))
        if other is not None:
            self._put(node, ast.AugAssign(node.target, other(), node.value))
        self.visit(node.value)

    @override
    def visit_TypeAlias(self, node: ast.TypeAlias) -> None:
        pass

    # Statements -------------------------------------------------------------------------------

    @override
    def visit_Expr(self, node: ast.Expr) -> None:
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("_LOG."):
            if ast.unparse(call.func).removeprefix("_LOG.") not in _QUIET:
                self._put(node, "pass")
            return  # what a line in the log says, and how, is not looked into
        self._put(node, "pass")
        self.generic_visit(node)

    @override
    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._put(node, "return None")
        self.generic_visit(node)

    @override
    def visit_Raise(self, node: ast.Raise) -> None:
        self._put(node, "pass")

    @override
    def visit_Delete(self, node: ast.Delete) -> None:
        self._put(node, "pass")

    @override
    def visit_Break(self, node: ast.Break) -> None:
        self._put(node, "continue")

    @override
    def visit_Continue(self, node: ast.Continue) -> None:
        self._put(node, "break")

    @override
    def visit_If(self, node: ast.If) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    @override
    def visit_While(self, node: ast.While) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    @override
    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._condition(node.test)
        self.generic_visit(node)

    @override
    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._put(test, "True")
        self.generic_visit(node)

    def _condition(self, test: ast.expr) -> None:
        """Turn a condition round that no other change turns round."""
        if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.NamedExpr):
            self._put(test, ast.UnaryOp(ast.Not(), test))

    # Expressions ------------------------------------------------------------------------------

    @override
    def visit_Compare(self, node: ast.Compare) -> None:
        for at, operator in enumerate(node.ops):
            for other in _COMPARED[type(operator)]:
                operators = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                self._put(node, ast.Compare(node.left, operators, node.comparators))
        self.generic_visit(node)

    @override
    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self._put(node, ast.BoolOp(other, node.values))
        self.generic_visit(node)

    @override
    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._put(node, f"bool({ast.unparse(node.operand)})")
        self.generic_visit(node)

    @override
    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = _CALCULATED.get(type(node.op))
        if other is not None and self._in_function:
            self._put(node, ast.BinOp(node.left, other(), node.right))
        self.generic_visit(node)

    @override
    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id in {"min", "max"}:
            name = "max" if node.func.id == "min" else "min"
            self._put(node.func, name)
        self.generic_visit(node)

    @override
    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg != "strict":  # of zip: it says only that two things are as long as each other
            self.generic_visit(node)

    @override
    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._put(node, str(not node.value))
        elif isinstance(node.value, int | float):
            for other in numbers(node.value):
                self._put(node, other)
