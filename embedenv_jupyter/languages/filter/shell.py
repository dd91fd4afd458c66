"""Reads shell scripts into commands, redirections, loops and functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from embedenv_jupyter.languages.filter.commands import Words, interpreter_of, starts_itself
from embedenv_jupyter.languages.filter.escapes import decoded
from embedenv_jupyter.languages.filter.facts import (
    SELF,
    Call,
    End,
    Multiplied,
    Name,
    Opened,
    Place,
    Program,
    Ran,
    Scope,
    Sighting,
)
from embedenv_jupyter.languages.filter.flow import Where, is_unheld, own_calls, walk
from embedenv_jupyter.languages.filter.rules import HOLE
from embedenv_jupyter.languages.filter.trees import MAX_DEPTH, first_error, parsed, text

if TYPE_CHECKING:
    from embedenv_jupyter.languages.filter.trees import Node

MAX_FUNCTIONS: Final = 300
"""So many functions are looked at for how they call one another."""

_OURSELVES: Final = {"$0", "${0}", "$BASH_SOURCE", "${BASH_SOURCE}", "${BASH_SOURCE[0]}"}
_THE_SAME: Final = {"$@", "$*", "${@}", "${*}"}
_WRITING: Final = {">", ">>", ">|", "&>", "&>>", "<>"}
_ENDLESS: Final = {
    "while": {"true", ":", "/bin/true", "[ 1 ]", "[[ 1 ]]", "((1))", "(( 1 ))"},
    "until": {"false", "! true"},
}
_SAYING: Final = {"echo", "printf"}
_CHOICES: Final = {"if_statement", "elif_clause", "else_clause", "case_item"}


def sightings(code: bytes) -> Iterator[Sighting]:
    """Yield what a script does, in the order of its text, as far as the text is a script."""
    root = parsed("bash", code)
    if root is None:
        return
    reader = _Reader(root, first_error(root))
    yield from reader.found
    yield from _bombs(reader.script)


class _Reader:
    def __init__(self, root: Node, end: int | None) -> None:
        self.script = Scope("plain")
        self.found: list[Sighting] = []
        self._end = end
        self._given: dict[str, str] = {}
        self._collect(root)
        self._children(root, self.script, False, MAX_DEPTH)

    def _collect(self, root: Node) -> None:
        """Remember the variables that are given a plain text once."""
        times: Counter[str] = Counter()
        for node in _named(root, "variable_assignment"):
            name, value = text(node.child_by_field_name("name")), node.child_by_field_name("value")
            times[name] += 1
            if value is not None and value.type in (
                "word",
                "raw_string",
                "string",
                "number",
                "concatenation",
            ):
                word = self.word(value)
                if isinstance(word, str) and HOLE not in word:
                    self._given[name] = word
        self._given = {name: value for name, value in self._given.items() if times[name] == 1}

    def _children(self, node: Node, scope: Scope, is_beside: bool, depth: int) -> None:
        children = node.children
        for index, child in enumerate(children):
            if child.is_named:
                follows = children[index + 1].type if index + 1 < len(children) else ""
                self._node(child, scope, is_beside or follows == "&", depth)

    def _node(self, node: Node, scope: Scope, is_beside: bool, depth: int) -> None:
        """Read one node; ``is_beside`` says that it runs in a process beside the script's own."""
        if (
            depth <= 0
            or node.is_error
            or (self._end is not None and node.end_byte > self._end and not node.has_error)
        ):
            return
        depth -= 1
        match node.type:
            case "comment" | "raw_string" | "ansi_c_string" | "regex":
                pass
            case "function_definition":
                self._inside("function", node.child_by_field_name("body"), scope, False, depth, node)
            case "while_statement":
                self._loop(node, scope, is_beside, depth)
            case "c_style_for_statement":
                kind = "plain" if node.child_by_field_name("condition") else "endless"
                self._inside(kind, node.child_by_field_name("body"), scope, is_beside, depth)
            case "pipeline":
                self._pipeline(node)
                self._children(node, scope, True, depth)
            case "subshell" | "command_substitution" | "process_substitution":
                self._children(node, scope, True, depth)
            case "list":
                self._list(node, scope, is_beside, depth)
            case kind if kind in _CHOICES:
                self._inside("choice", node, scope, is_beside, depth)
            case "redirected_statement":
                self._here(node)
                self._children(node, scope, is_beside, depth)
            case "file_redirect":
                self._redirect(node)
                self._children(node, scope, is_beside, depth)
            case "command":
                self._here(node)
                self._children(node, scope, is_beside, depth)
                self._command(node, scope, is_beside)
            case _:
                self._children(node, scope, is_beside, depth)

    def _inside(
        self,
        kind: str,
        node: Node | None,
        scope: Scope,
        is_beside: bool,
        depth: int,
        named: Node | None = None,
    ) -> None:
        if node is not None:
            inner = Scope(kind, name=text(named.child_by_field_name("name")) if named else "")
            scope.items.append(inner)
            self._children(node, inner, is_beside, depth)

    def _loop(self, node: Node, scope: Scope, is_beside: bool, depth: int) -> None:
        keyword = node.children[0].type
        condition = " ".join(text(node.child_by_field_name("condition")).split())
        kind = "endless" if condition in _ENDLESS.get(keyword, ()) else "choice"
        self._inside(kind, node, scope, is_beside, depth)

    def _list(self, node: Node, scope: Scope, is_beside: bool, depth: int) -> None:
        """Read ``a && b``: whether ``b`` runs depends on ``a``."""
        first, *others = node.named_children
        self._node(first, scope, is_beside, depth)
        inner = Scope("choice")
        scope.items.append(inner)
        for other in others:
            self._node(other, inner, is_beside, depth)

    def _command(self, node: Node, scope: Scope, is_beside: bool) -> None:
        words = self.words(node)
        name = words[0] if words and isinstance(words[0], str) else ""
        if name in ("exit", "return", "break"):
            scope.items.append(End())
        scope.items.append(Call(name, words, _place(node), {"beside": is_beside}))
        self.found.append((Ran(words), _place(node)))

    def words(self, node: Node) -> Words:
        """Give the words of a command, without its redirections."""
        return tuple(
            self.word(
                child.named_children[0] if child.type == "command_name" and child.named_children else child
            )
            for child in node.named_children
            if child.type
            not in ("variable_assignment", "file_redirect", "herestring_redirect", "heredoc_redirect")
        )

    def word(self, node: Node, depth: int = 8) -> str | Name | None:
        """Give a word without its quotes, as the shell does; parts that only a run knows are holes."""
        raw = text(node)
        if raw.strip('"') in _OURSELVES:
            return SELF
        if raw.strip('"') in _THE_SAME:
            return Name("$@")
        match node.type:
            case "word" | "number":
                return re.sub(r"\\(.)", r"\1", raw, flags=re.DOTALL)
            case "raw_string":
                return raw[1:-1]
            case "ansi_c_string":
                return decoded(raw[2:-1])
            case "string":
                return self._quoted(node, depth)
            case "simple_expansion" | "expansion":
                return self._given.get(raw.strip("${}"), HOLE)
            case "concatenation" if depth > 0:
                parts = [self.word(child, depth - 1) for child in node.children]
                return "".join(part if isinstance(part, str) else HOLE for part in parts)
            case "command_substitution" | "process_substitution" | "arithmetic_expansion":
                return HOLE
        return raw if not node.named_children else HOLE

    def _quoted(self, node: Node, depth: int) -> str:
        parts: list[str] = []
        at = node.start_byte + 1
        source = node.text or b""
        for child in node.named_children:
            if child.type != "string_content" and depth > 0:
                parts.append(
                    source[at - node.start_byte : child.start_byte - node.start_byte].decode(
                        "utf-8", "replace"
                    )
                )
                word = self.word(child, depth - 1)
                parts.append(word if isinstance(word, str) else HOLE)
                at = child.end_byte
        parts.append(source[at - node.start_byte : -1].decode("utf-8", "replace"))
        return re.sub(r'\\([$`"\\])', r"\1", "".join(parts))

    def _redirect(self, node: Node) -> None:
        target = node.child_by_field_name("destination")
        operators = [child.type for child in node.children if not child.is_named]
        path = self.word(target) if target else None
        if isinstance(path, str) and operators:
            self.found.append((Opened(path, writes=operators[0] in _WRITING), _place(node)))

    def _here(self, node: Node) -> None:
        """Take what an interpreter is given to read as its program: ``bash <<EOF``, ``bash <<< "…"``."""
        language = self._reads_program(node.child_by_field_name("body") or node)
        for redirect in node.named_children if language else ():
            for part in redirect.named_children:
                if part.type == "heredoc_body":
                    self.found.append((Program(language, text(part)), _place(node)))
                elif redirect.type == "herestring_redirect" and isinstance(word := self.word(part), str):
                    self.found.append((Program(language, word), _place(node)))

    def _pipeline(self, node: Node) -> None:
        """Take what ``echo`` says to an interpreter as its program."""
        for before, after in zip(node.named_children, node.named_children[1:], strict=False):
            language = self._reads_program(after)
            words = self.words(before) if before.type == "command" else ()
            if language and words and words[0] in _SAYING:
                said = " ".join(word for word in words[1:] if isinstance(word, str))
                self.found.append((Program(language, said), _place(node)))

    def _reads_program(self, node: Node | None) -> str:
        if node is None or node.type != "command":
            return ""
        words = self.words(node)
        if words[:1] == ("sudo",):
            words = words[1:]
        is_alone = all(word in ("-", "-s", "-x", "-e") for word in words[1:])
        name = words[0] if words and is_alone else None
        interpreter = interpreter_of(name) if isinstance(name, str) else None
        return interpreter[0] if interpreter else ""


def _named(root: Node, kind: str) -> Iterator[Node]:
    waiting = [(root, MAX_DEPTH)]
    while waiting:
        node, depth = waiting.pop()
        if node.type == kind:
            yield node
        if depth:
            waiting += ((child, depth - 1) for child in node.named_children)


def _place(node: Node) -> Place:
    return Place(node.start_point.row + 1, node.start_point.column + 1)


def _bombs(script: Scope) -> Iterator[Sighting]:
    for call, where in walk(script, Where()):
        words = tuple(word if isinstance(word, str | Name) else None for word in call.arguments)
        is_itself = call.name != "exec" and starts_itself(words)
        if is_itself and (where.is_sure or is_unheld(where.loop)) and where.function is None:
            yield Multiplied(by_itself=True), call.place
        elif call.keywords["beside"] and is_unheld(where.loop) and call.name not in ("true", ":"):
            yield Multiplied(by_itself=False), call.place
    yield from _multiplying_functions(script)


def _multiplying_functions(script: Scope) -> Iterator[Sighting]:
    """Find functions that surely call themselves twice, once of it beside themselves; through others, too."""
    functions = {scope.name: scope for scope in islice(_functions(script), MAX_FUNCTIONS)}
    calls = {
        name: [call for call, where in own_calls(scope) if where.is_sure and call.name in functions]
        for name, scope in functions.items()
    }
    for name, own in calls.items():
        back = [call for call in own if call.name == name or _reaches(calls, call.name, name)]
        if len(back) > 1 and any(call.keywords["beside"] for call in back):
            yield Multiplied(by_itself=False), back[0].place


def _functions(scope: Scope) -> Iterator[Scope]:
    for item in scope.items:
        if isinstance(item, Scope):
            if item.kind == "function":
                yield item
            yield from _functions(item)


def _reaches(calls: dict[str, list[Call]], start: str, goal: str) -> bool:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += (call.name for call in calls.get(name, ()))
            if goal in (call.name for call in calls.get(name, ())):
                return True
    return False
