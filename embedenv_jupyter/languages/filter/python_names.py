"""What names and expressions of a Python program stand for, as far as its text says."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from typing import Final

from embedenv_jupyter.languages.filter.facts import SELF, Name, Value
from embedenv_jupyter.languages.filter.rules import HOLE

MAX_STEPS: Final = 12
"""How many names, calls and operators are followed for one value."""
MAX_CHARS: Final = 1 << 16
MAX_ITEMS: Final = 256

_IMPORTING: Final = {"__import__", "importlib.import_module"}
_SAME_PATH: Final = {
    *("os.path.abspath", "os.path.realpath", "os.path.normpath", "os.fspath", "str", "bytes", "shlex.split"),
    *(
        "pathlib.Path",
        "pathlib.PurePath",
        "pathlib.PosixPath",
        "pathlib.Path().resolve",
        "pathlib.Path().absolute",
    ),
}
_PATHS: Final = {"pathlib.PurePath", "pathlib.PosixPath", "pathlib.PurePosixPath"}


class Names:
    """The imports and the names that a program gives a value once: those are taken for what they got."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self._imported: dict[str, str] = {}
        self._starred: list[str] = []
        self._given: dict[str, ast.expr] = {}
        times: Counter[str] = Counter()
        for node in nodes:
            match node:
                case ast.Import():
                    self._import(node)
                case ast.ImportFrom(module=str(module), level=0):
                    self._import_from(module, node)
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.NamedExpr(target=ast.Name(id=name), value=value)
                ):
                    self._given[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._given[name] = value
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    times[name] += 1
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    times[name] += 2
        self._given = {name: value for name, value in self._given.items() if times[name] == 1}
        self._defined = set(times)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imported[alias.asname or alias.name.partition(".")[0]] = (
                alias.name if alias.asname else alias.name.partition(".")[0]
            )

    def _import_from(self, module: str, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._starred.append(module)
            else:
                self._imported[alias.asname or alias.name] = f"{module}.{alias.name}"

    def dotted(self, node: ast.expr, steps: int = MAX_STEPS) -> str:
        """Write what is called, with what imports and simple assignments renamed put back; "" if unknown."""
        if steps <= 0:
            return ""
        match node:
            case ast.Name(id=name):
                return self._of_name(name, steps)
            case ast.Attribute(value=value, attr=attribute):
                before = self.dotted(value, steps - 1)
                return _settled(f"{before}.{attribute}") if before else f"?.{attribute}"
            case ast.Subscript(value=value, slice=ast.Constant(value=str(key))):
                before = self.dotted(value, steps - 1)
                return f"{before}.{key}" if before else ""
            case ast.Call():
                return self._of_call(node, steps)
            case ast.BinOp(op=ast.Div(), left=left):
                return self.dotted(left, steps - 1)
        return ""

    def _of_name(self, name: str, steps: int) -> str:
        if name in self._imported:
            return _settled(self._imported[name])
        if name in self._given:
            return self.dotted(self._given[name], steps - 1) or name
        if self._starred and name not in self._defined:
            # Which of them has it is not known; names that matter are rare enough.
            for module in self._starred:
                if module in (
                    "os",
                    "subprocess",
                    "ctypes",
                    "multiprocessing",
                    "shutil",
                    "pathlib",
                    "threading",
                ):
                    return f"{module}.{name}"
        return name

    def _of_call(self, node: ast.Call, steps: int) -> str:
        called = self.dotted(node.func, steps - 1)
        match node.args:
            case [ast.Constant(value=str(module)), *_] if called in _IMPORTING:
                return module
            case [owner, ast.Constant(value=str(attribute)), *_] if called == "getattr":
                return f"{self.dotted(owner, steps - 1)}.{attribute}"
        return f"{called}()" if called else ""

    def value(self, node: ast.expr, steps: int = MAX_STEPS) -> Value:
        """Say what an expression is, where its text says it."""
        if steps <= 0:
            return None
        match node:
            case ast.Constant(value=str() | int() as value):
                return value
            case ast.Constant(value=bytes() as data):
                return data.decode("latin-1")
            case ast.Name(id="__file__"):
                return SELF
            case ast.Name(id=name) if name in self._given:
                return self.value(self._given[name], steps - 1) or Name(name)
            case ast.Name() | ast.Attribute():
                dotted = self.dotted(node)
                return (SELF, Name("$@")) if dotted == "sys.argv" else Name(dotted)
            case ast.Subscript(slice=index):
                return self._of_subscript(node.value, index)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self._of_items(items, steps)
            case ast.JoinedStr(values=parts):
                return "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in parts)[
                    :MAX_CHARS
                ]
            case ast.BinOp():
                return self._of_operator(node, steps)
            case ast.Call():
                return self._of_called(node, steps)
        return None

    def _of_subscript(self, owner: ast.expr, index: ast.expr) -> Value:
        if self.dotted(owner) != "sys.argv":
            return None
        match index:
            case ast.Constant(value=0):
                return SELF
            case ast.Slice(lower=ast.Constant(value=1), upper=None):
                return (Name("$@"),)
        return None

    def _of_items(self, items: list[ast.expr], steps: int) -> Value:
        values: list[Value] = []
        for item in items[:MAX_ITEMS]:
            if isinstance(item, ast.Starred):
                inner = self.value(item.value, steps - 1)
                values += inner[:MAX_ITEMS] if isinstance(inner, tuple) else [inner]
            else:
                values.append(self.value(item, steps - 1))
        return tuple(values)

    def _of_operator(self, node: ast.BinOp, steps: int) -> Value:
        left, right = self.value(node.left, steps - 1), self.value(node.right, steps - 1)
        match node.op, left, right:
            case ast.Add(), str(), str():
                return (left + right)[:MAX_CHARS]
            case ast.Add(), tuple(), tuple():
                return (left + right)[:MAX_ITEMS]
            case ast.Add(), str(), _:
                return left + HOLE
            case ast.Add(), _, str():
                return HOLE + right
            case ast.Mod(), str(), _:
                return left.replace("%s", HOLE).replace("%d", HOLE)
            case ast.Div(), str(), str():
                return _joined((left, right))
            case ast.BitOr(), _, _:
                return (left, right)
        return None

    def _of_called(self, node: ast.Call, steps: int) -> Value:
        called = self.dotted(node.func)
        if called in ("os.path.join", "pathlib.Path") and node.args:
            parts = tuple(self.value(part, steps - 1) for part in node.args[:MAX_ITEMS])
            return parts[0] if len(parts) == 1 else _joined(parts)
        if called in _SAME_PATH and node.args:
            inner = self.value(node.args[0], steps - 1)
            return (
                tuple(inner.split()[:MAX_ITEMS])
                if called == "shlex.split" and isinstance(inner, str)
                else inner
            )
        match node.func:
            case ast.Attribute(value=owner, attr="split" | "encode" | "strip" | "format" as method):
                text = self.value(owner, steps - 1)
                if isinstance(text, str):
                    return _by_method(text, method, bool(node.args))
        return None


def _by_method(text: str, method: str, has_arguments: bool) -> Value:
    match method:
        case "split":
            return None if has_arguments else tuple(text.split()[:MAX_ITEMS])
        case "format":
            return text.replace("{}", HOLE)
    return text


def _joined(parts: tuple[Value, ...]) -> Value:
    texts = [part if isinstance(part, str) else HOLE for part in parts]
    path = ""
    for text in texts:
        path = text if text.startswith("/") or not path else f"{path.rstrip('/')}/{text}"
    return path[:MAX_CHARS]


def _settled(name: str) -> str:
    """Write the several names of one class as one."""
    for alias in _PATHS:
        if name == alias or name.startswith(f"{alias}("):
            return "pathlib.Path" + name[len(alias) :]
    return name
