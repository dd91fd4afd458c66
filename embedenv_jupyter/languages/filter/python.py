"""Reads Python by its own parser into calls, loops, conditions and functions."""

from __future__ import annotations

import ast
import warnings
from itertools import islice
from typing import Final

from embedenv_jupyter.languages.filter.facts import Call, End, Place, Scope, Value
from embedenv_jupyter.languages.filter.python_names import Names

MAX_DEPTH: Final = 80
"""How deep statements and expressions may stand in one another; what is deeper is not looked at."""
MAX_NODES: Final = 50_000
MANY: Final = 16
"""So many turns of a loop that forks are 65,536 processes."""


def read(code: str) -> Scope | None:
    """Read a program; ``None`` for what is none, which fails by itself, and for one that is too much."""
    try:
        with warnings.catch_warnings():
            # What the parser has to say about escapes is for the author, not for our log.
            warnings.simplefilter("ignore")
            tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):
        return None
    nodes = list(islice(ast.walk(tree), MAX_NODES + 1))
    return _Reader(tree, Names(nodes)).program if len(nodes) <= MAX_NODES else None


class _Reader:
    def __init__(self, tree: ast.Module, names: Names) -> None:
        self._names = names
        self.program = Scope("plain")
        self._statements(tree.body, self.program, MAX_DEPTH)

    def _statements(self, nodes: list[ast.stmt], scope: Scope, depth: int) -> None:
        for node in nodes:
            self._node(node, scope, depth)

    def _inside(
        self, kind: str, nodes: list[ast.stmt] | list[ast.expr], scope: Scope, depth: int, name: str = ""
    ) -> None:
        inner = Scope(kind, name=name)
        scope.items.append(inner)
        for node in nodes:
            self._node(node, inner, depth)

    def _node(self, node: ast.AST, scope: Scope, depth: int) -> None:
        if depth <= 0:
            return
        depth -= 1
        match node:
            case ast.FunctionDef(name=name, body=body) | ast.AsyncFunctionDef(name=name, body=body):
                self._inside("function", body, scope, depth, name)
            case ast.While(test=test, body=body):
                self._node(test, scope, depth)
                self._inside("endless" if _is_true(test) else "choice", body, scope, depth)
            case ast.For(iter=over, body=body) | ast.AsyncFor(iter=over, body=body):
                self._node(over, scope, depth)
                self._inside(self._kind_of_loop(over), body, scope, depth)
            case (
                ast.ListComp(elt=element, generators=[first, *_])
                | ast.SetComp(elt=element, generators=[first, *_])
            ):
                self._inside(self._kind_of_loop(first.iter), [element], scope, depth)
            case ast.If() | ast.IfExp() | ast.BoolOp():
                self._choice(node, scope, depth)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final):
                self._statements(body, scope, depth)
                for handler in handlers:
                    self._inside("choice", handler.body, scope, depth)
                self._statements([*orelse, *final], scope, depth)
            case ast.Match(cases=cases):
                for case in cases:
                    self._inside("choice", case.body, scope, depth)
            case ast.Return() | ast.Raise() | ast.Break() | ast.Yield() | ast.YieldFrom() | ast.Await():
                self._children(node, scope, depth)
                scope.items.append(End())
            case ast.Call():
                self._children(node, scope, depth)
                scope.items.append(self._call(node))
            case _:
                self._children(node, scope, depth)

    def _children(self, node: ast.AST, scope: Scope, depth: int) -> None:
        for child in ast.iter_child_nodes(node):
            self._node(child, scope, depth)

    def _choice(self, node: ast.If | ast.IfExp | ast.BoolOp, scope: Scope, depth: int) -> None:
        match node:
            case ast.BoolOp(values=[first, *others]):
                self._node(first, scope, depth)
                self._inside("choice", others, scope, depth)
            case ast.If(test=test, body=body, orelse=orelse):
                self._node(test, scope, depth)
                self._inside("plain" if _is_true(test) or _is_main(test) else "choice", body, scope, depth)
                self._inside("choice", orelse, scope, depth)
            case ast.IfExp(test=test, body=value, orelse=other):
                self._node(test, scope, depth)
                self._inside("choice", [value, other], scope, depth)

    def _kind_of_loop(self, over: ast.expr) -> str:
        if not isinstance(over, ast.Call):
            return "plain"
        match self._names.dotted(over.func), over.args:
            case ("itertools.count" | "itertools.cycle", _) | ("itertools.repeat", [_]) | ("iter", [_, _]):
                return "endless"
            case "range", [*_, ast.expr()]:
                bounds = [self._names.value(argument) for argument in over.args[:2]]
                sizes = [bound for bound in bounds if isinstance(bound, int)]
                return (
                    "many" if len(sizes) == len(bounds) and sizes[-1] - sum(sizes[:-1]) >= MANY else "plain"
                )
        return "plain"

    def _call(self, node: ast.Call) -> Call:
        names = self._names
        arguments: list[Value] = []
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                value = names.value(argument.value)
                arguments += value if isinstance(value, tuple) else [None]
            else:
                arguments.append(names.value(argument))
        receiver = names.value(node.func.value) if isinstance(node.func, ast.Attribute) else None
        return Call(
            name=names.dotted(node.func),
            arguments=tuple(arguments),
            keywords={keyword.arg: names.value(keyword.value) for keyword in node.keywords if keyword.arg},
            receiver=receiver,
            place=Place(node.lineno, node.col_offset + 1),
        )


def _is_true(test: ast.expr) -> bool:
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Constant(value=value)):
            return not value
        case ast.Compare(
            left=ast.Constant(value=left), ops=[ast.Eq()], comparators=[ast.Constant(value=right)]
        ):
            return bool(left == right)
    return False


def _is_main(test: ast.expr) -> bool:
    match test:
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]):
            return True
    return False
