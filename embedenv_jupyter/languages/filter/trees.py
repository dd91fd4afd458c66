"""The parsers of tree-sitter, loaded when the first code in their language is judged.

tree-sitter reads any text without an error: what it does not understand becomes a
node that says so. Its trees are walked to a bounded depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_DEPTH: Final = 120
"""How deep nodes may stand in one another; what is deeper is not looked at."""


@cache
def _parser(grammar: str) -> Parser:
    from tree_sitter import Language, Parser

    return Parser(Language(_grammar(grammar)()))


def _grammar(name: str) -> Callable[[], object]:
    match name:
        case "bash":
            from tree_sitter_bash import language
        case "c":
            from tree_sitter_c import language
        case "cpp":
            from tree_sitter_cpp import language
        case "go":
            from tree_sitter_go import language
        case "javascript":
            from tree_sitter_javascript import language
        case "php":
            from tree_sitter_php import language_php as language
        case "ruby":
            from tree_sitter_ruby import language
        case "typescript":
            from tree_sitter_typescript import language_typescript as language
        case _:
            raise LookupError(name)
    return language


def parsed(grammar: str, source: bytes) -> Node:
    """Read ``source`` into a tree."""
    return _parser(grammar).parse(source).root_node


def text(node: Node | None) -> str:
    """Give the text of a node; of none, nothing."""
    return (node.text or b"").decode("utf-8", "replace") if node else ""


def first_error(root: Node) -> int | None:
    """Find the byte from which on the text was not understood; ``None`` if all of it was."""
    if not root.has_error:
        return None
    node = root
    while not (node.is_error or node.is_missing):
        node = next((child for child in node.children if child.has_error or child.is_missing), node)
        if not any(child.has_error or child.is_missing for child in node.children):
            break
    return node.start_byte


def literal(node: Node, content: str, hole: str, decode: Callable[[str], str]) -> str:
    """Put a text together from its parts: ``content`` and escapes as they are, ``hole`` for anything else."""
    return "".join(_parts(node, content, hole, decode))


def _parts(node: Node, content: str, hole: str, decode: Callable[[str], str]) -> Iterator[str]:
    for child in node.named_children:
        if child.type == content:
            yield text(child)
        elif child.type == "escape_sequence":
            yield decode(text(child))
        else:
            yield hole
