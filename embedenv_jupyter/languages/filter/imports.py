"""What the imports of a program call the modules that they bring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from embedenv_jupyter.languages.filter.trees import MAX_DEPTH, text

if TYPE_CHECKING:
    from embedenv_jupyter.languages.filter.trees import Node

_QUOTES: Final = "'\"`"


def imported(parser: str, root: Node) -> dict[str, str]:
    """Map each name that an import brings to what it stands for: ``{"cp": "child_process"}``."""
    match parser:
        case "javascript" | "typescript":
            return dict(_of_javascript(root))
        case "go":
            return dict(_of_go(root))
    return {}


def _all(root: Node) -> Iterator[Node]:
    waiting = [(root, MAX_DEPTH)]
    while waiting:
        node, depth = waiting.pop()
        yield node
        if depth:
            waiting += ((child, depth - 1) for child in node.named_children)


def _of_javascript(root: Node) -> Iterator[tuple[str, str]]:
    for node in _all(root):
        if node.type == "import_statement":
            yield from _import(node, _module(text(node.child_by_field_name("source"))))
        elif node.type == "variable_declarator":
            value, pattern = node.child_by_field_name("value"), node.child_by_field_name("name")
            module = _required(value)
            if module and pattern is not None:
                yield from _pattern(pattern, module)


def _import(node: Node, module: str) -> Iterator[tuple[str, str]]:
    for part in _all(node):
        if part.type == "import_specifier":
            name, alias = part.child_by_field_name("name"), part.child_by_field_name("alias")
            yield text(alias or name), f"{module}.{text(name)}"
        elif part.type == "namespace_import" or (part.type == "import_clause" and part.named_children):
            first = part.named_children[0]
            if first.type == "identifier":
                yield text(first), module


def _required(value: Node | None) -> str:
    """Name the module of ``require("x")``, with or without ``await import("x")``."""
    if value is not None and value.type == "await_expression" and value.named_children:
        value = value.named_children[0]
    if value is None or value.type != "call_expression":
        return ""
    arguments = value.child_by_field_name("arguments")
    is_require = text(value.child_by_field_name("function")) in ("require", "import")
    if not is_require or arguments is None or len(arguments.named_children) != 1:
        return ""
    return _module(text(arguments.named_children[0]))


def _pattern(pattern: Node, module: str) -> Iterator[tuple[str, str]]:
    if pattern.type == "identifier":
        yield text(pattern), module
    for part in pattern.named_children:
        if part.type == "shorthand_property_identifier_pattern":
            yield text(part), f"{module}.{text(part)}"
        elif part.type == "pair_pattern":
            key, value = part.child_by_field_name("key"), part.child_by_field_name("value")
            yield text(value), f"{module}.{text(key)}"


def _module(source: str) -> str:
    return source.strip(_QUOTES).removeprefix("node:").replace("/", ".")


def _of_go(root: Node) -> Iterator[tuple[str, str]]:
    for node in _all(root):
        if node.type == "import_spec":
            path = text(node.child_by_field_name("path")).strip(_QUOTES)
            alias = node.child_by_field_name("name")
            # `import "os/exec"` is called exec; the vocabulary has it under this name.
            yield (text(alias) if alias else path.rpartition("/")[2]), path.rpartition("/")[2]
