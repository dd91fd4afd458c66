"""The parsers of tree-sitter, loaded when the first code in their language is judged.

tree-sitter reads any text without an error: what it does not understand becomes a
node that says so. Some texts take its parsers a millisecond for each byte, so a parser
that has used up its time is stopped. That is the one use of a clock here: the time
that this thread has computed, which a busy machine does not shorten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import tree_sitter
    from tree_sitter import Language, Point

    Node = tree_sitter.Node

MAX_DEPTH: Final = 120
"""How deep nodes may stand in one another; what is deeper is not looked at."""


MAX_NODES: Final = 50_000
MAX_PARSING_S: Final = 0.25
_PIECE_BYTES: Final = 256
"""Small, because the text of each node is read by the piece again."""


@cache
def _language(grammar: str) -> Language:
    from tree_sitter import Language

    return Language(_grammar(grammar)())


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


def parsed(grammar: str, source: bytes) -> Node | None:
    """Read ``source`` into a tree; ``None`` where that takes too long or gives too large a tree."""
    from tree_sitter import Parser

    language = _language(grammar)
    deadline_s = time.thread_time() + MAX_PARSING_S

    def read(start: int, _: Point) -> bytes:
        return source[start : start + _PIECE_BYTES]

    def is_too_late(_: int, has_error: bool) -> bool:
        return time.thread_time() > deadline_s

    try:
        # A parser has a state: each call has its own.
        root = Parser(language).parse(read, progress_callback=is_too_late).root_node
    except ValueError:  # It was stopped.
        return None
    return root if root.descendant_count <= MAX_NODES else None


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
