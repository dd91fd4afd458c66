"""Reads languages with a grammar of tree-sitter into calls, loops, conditions and functions."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from embedenv_jupyter.languages.filter.escapes import decoded
from embedenv_jupyter.languages.filter.facts import (
    SELF,
    Call,
    End,
    Name,
    Place,
    Program,
    Scope,
    Sighting,
    Value,
)
from embedenv_jupyter.languages.filter.grammars import Grammar
from embedenv_jupyter.languages.filter.imports import imported
from embedenv_jupyter.languages.filter.rules import HOLE
from embedenv_jupyter.languages.filter.trees import MAX_DEPTH, first_error, literal, parsed, text

if TYPE_CHECKING:
    from embedenv_jupyter.languages.filter.trees import Node

MAX_STEPS: Final = 10
"""How many names and operators are followed for one value."""
MAX_CHARS: Final = 1 << 16

_TRUE: Final = re.compile(r"true|[1-9]\d*|!0", re.IGNORECASE)
_FALSE: Final = re.compile(r"false|0|nil", re.IGNORECASE)
_BOTH: Final = {"&&", "||", "and", "or", "??"}


def read(grammar: Grammar, code: bytes) -> Reader | None:
    """Read a program; ``None`` for one that is too much."""
    root = parsed(grammar.parser, code)
    return Reader(grammar, root) if root else None


class Reader:
    """What is read of one ``program``, and the ``shell`` lines that it has in backticks."""

    def __init__(self, grammar: Grammar, root: Node) -> None:
        self._grammar = grammar
        self._end = first_error(root)
        self._imported = imported(grammar.parser, root)
        self._given: dict[str, Node] = {}
        self._bare_calls = set(grammar.bare_calls)
        self._collect(root)
        self.program = Scope("plain")
        self.shell: list[Sighting] = []
        self._children(root, self.program, MAX_DEPTH)

    def _collect(self, root: Node) -> None:
        """Remember names that get a value once, and in a language with bare calls those of functions."""
        times: Counter[str] = Counter()
        waiting = [(root, MAX_DEPTH)]
        while waiting:
            node, depth = waiting.pop()
            if node.type in self._grammar.gives:
                name_field, value_field = self._grammar.gives[node.type]
                name, value = (
                    text(node.child_by_field_name(name_field)).strip("*&[] "),
                    node.child_by_field_name(value_field),
                )
                times[name] += 1
                if value is not None:
                    self._given[name] = value
            elif node.type in self._grammar.functions and self._bare_calls:
                self._bare_calls.add(self._function_name(node))
            if depth:
                waiting += ((child, depth - 1) for child in node.named_children)
        self._given = {name: value for name, value in self._given.items() if times[name] == 1}

    # The shape of the program

    def _children(self, node: Node, scope: Scope, depth: int, without: Node | None = None) -> None:
        for child in node.named_children:
            if child != without:
                self._node(child, scope, depth)

    def _node(self, node: Node, scope: Scope, depth: int) -> None:
        grammar = self._grammar
        if (
            depth <= 0
            or node.is_error
            or (self._end is not None and node.end_byte > self._end and not node.has_error)
        ):
            return
        depth -= 1
        kind = node.type
        if kind in grammar.functions:
            self._function(node, scope, depth)
        elif kind in grammar.loops:
            self._loop(node, scope, depth)
        elif kind in grammar.choices:
            self._choice(node, node.child_by_field_name(grammar.choices[kind]), scope, depth)
        elif kind in ("binary_expression", "binary") and _operator(node) in _BOTH:
            self._choice(node, node.child_by_field_name("left"), scope, depth)
        elif kind in grammar.backticks:
            line = literal(node, "string_content", HOLE, decoded)
            self.shell.append((Program("bash", line), _place(node)))
        elif kind in grammar.calls:
            self._call(node, scope, depth)
        else:
            self._children(node, scope, depth)
            if kind in grammar.ends:
                scope.items.append(End())
            elif kind == "identifier" and text(node) in self._bare_calls:
                scope.items.append(Call(text(node), (), _place(node)))
            elif kind == "declaration":
                self._constructed(node, scope)

    def _inside(self, kind: str, node: Node, scope: Scope, depth: int) -> None:
        inner = Scope(kind)
        scope.items.append(inner)
        self._children(node, inner, depth)

    def _function(self, node: Node, scope: Scope, depth: int) -> None:
        inner = Scope("function", name=self._function_name(node))
        scope.items.append(inner)
        self._children(
            node, inner, depth, without=node.child_by_field_name(self._grammar.functions[node.type])
        )

    def _function_name(self, node: Node) -> str:
        part = node.child_by_field_name(self._grammar.functions[node.type])
        while part is not None and (inner := part.child_by_field_name("declarator")) is not None:
            part = inner
        return self._cased(text(part))

    def _loop(self, node: Node, scope: Scope, depth: int) -> None:
        condition = self._condition(node)
        holds = _FALSE if node.type in self._grammar.never else _TRUE
        is_endless = not condition or holds.fullmatch(condition) is not None
        counted = any(child.type == "range_clause" for child in node.named_children)
        self._inside("endless" if is_endless and not counted else "choice", node, scope, depth)

    def _condition(self, node: Node) -> str:
        """Give the condition of a loop without its parentheses; nothing where it has none."""
        condition = node.child_by_field_name(self._grammar.loops[node.type])
        if condition is None and self._grammar.parser == "go":
            # `for cond {}` has it as a child without a name, `for a; b; c {}` in a clause.
            body = node.child_by_field_name("body")
            condition = next(
                (child for child in node.named_children if child != body and child.type != "comment"), None
            )
            if condition is not None and condition.type == "for_clause":
                condition = condition.child_by_field_name("condition")
        return text(condition).strip("(); \t\r\n")

    def _choice(self, node: Node, first: Node | None, scope: Scope, depth: int) -> None:
        if first is not None:
            self._node(first, scope, depth)
        inner = Scope("choice")
        scope.items.append(inner)
        self._children(node, inner, depth, without=first)

    # Calls and what they are given

    def _call(self, node: Node, scope: Scope, depth: int) -> None:
        name = self._called(node)
        holder = scope
        if name in self._grammar.endless_calls:
            holder = Scope("endless")
            scope.items.append(holder)
        function = node.child_by_field_name(self._grammar.calls[node.type][0])
        is_word = function is not None and function.child_count == 0
        self._children(node, holder, depth, without=function if is_word else None)
        arguments = node.child_by_field_name(self._grammar.calls[node.type][1])
        values = tuple(self.value(child) for child in arguments.named_children) if arguments else ()
        if name not in self._grammar.endless_calls:
            scope.items.append(Call(name, values, _place(node)))

    def _constructed(self, node: Node, scope: Scope) -> None:
        """Read ``std::ofstream file("/x")``, which calls a constructor, as a call."""
        for declarator in node.children_by_field_name("declarator"):
            value = declarator.child_by_field_name("value")
            if value is not None and value.type == "argument_list":
                name = self._plain(text(node.child_by_field_name("type")))
                scope.items.append(
                    Call(name, tuple(map(self.value, value.named_children)), _place(declarator))
                )

    def _called(self, node: Node, steps: int = MAX_STEPS) -> str:
        function = node.child_by_field_name(self._grammar.calls[node.type][0])
        if function is None:
            return ""
        owner = (
            node.child_by_field_name("receiver")
            or node.child_by_field_name("object")
            or node.child_by_field_name("scope")
        )
        if owner is None:
            return self._cased(self.name(function, steps))
        before = self.name(owner, steps - 1) or "?"
        return self._cased(f"{before}.{text(function)}")

    def name(self, node: Node, steps: int = MAX_STEPS) -> str:
        """Write what is named, with what imports and simple assignments renamed put back; "" if unknown."""
        if steps <= 0:
            return ""
        if node.type in self._grammar.members:
            owner_field, name_field = self._grammar.members[node.type]
            owner, part = node.child_by_field_name(owner_field), node.child_by_field_name(name_field)
            before = self.name(owner, steps - 1) if owner else ""
            own = self._plain(text(part))
            return self._plain(f"{before}.{own}") if before or owner is None else f"?.{own}"
        if node.type in self._grammar.calls:
            return self._of_call(node, steps)
        raw = text(node)
        if raw in self._imported:
            return self._imported[raw]
        if raw in self._given and self._given[raw].type not in self._grammar.strings:
            given = self._unwrapped(self._given[raw])
            is_named = given.type in self._grammar.members or given.type in self._grammar.calls
            return (self.name(given, steps - 1) if is_named else "") or raw
        return self._plain(raw) if node.child_count == 0 or node.type in ("name", "qualified_name") else ""

    def _of_call(self, node: Node, steps: int) -> str:
        called = self._called(node, steps - 1)
        if called in ("require", "process.getBuiltinModule"):
            arguments = node.child_by_field_name("arguments")
            module = (
                self.value(arguments.named_children[0]) if arguments and arguments.named_children else None
            )
            return module.removeprefix("node:").replace("/", ".") if isinstance(module, str) else ""
        return f"{called}()" if called else ""

    def _plain(self, name: str) -> str:
        name = name.replace("::", ".").replace("->", ".").strip(".\\ ")
        return name.removeprefix("std.")

    def _cased(self, name: str) -> str:
        return name.lower() if self._grammar.ignores_case else name

    def _unwrapped(self, node: Node) -> Node:
        for _ in range(MAX_STEPS):
            if node.type not in self._grammar.wrappers or len(node.named_children) != 1:
                break
            node = node.named_children[0]
        return node

    def value(self, node: Node, steps: int = MAX_STEPS) -> Value:
        """Say what an argument is, where its text says it."""
        node = self._unwrapped(node)
        raw = text(node) if node.end_byte - node.start_byte < MAX_CHARS else ""
        if steps <= 0 or not raw:
            return None
        if raw in self._grammar.ourselves:
            return SELF
        if node.type in self._grammar.strings:
            return literal(node, self._grammar.strings[node.type], HOLE, decoded)
        if node.type in self._grammar.joined:
            parts = [self.value(child, steps - 1) for child in node.named_children]
            return "".join(part if isinstance(part, str) else HOLE for part in parts)
        if node.type in self._grammar.lists:
            return tuple(self.value(child, steps - 1) for child in node.named_children)
        if node.type in ("binary_expression", "binary"):
            return self._of_operator(node, steps)
        if re.fullmatch(r"\d{1,9}", raw):
            return int(raw)
        if raw in self._given:
            value = self.value(self._given[raw], steps - 1)
            return value if isinstance(value, str | tuple) else Name(raw)
        name = self.name(node)
        return Name(name) if name else None

    def _of_operator(self, node: Node, steps: int) -> Value:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        values = tuple(self.value(side, steps - 1) if side else None for side in (left, right))
        match _operator(node), values:
            case ("+" | ".", (str(), _) | (_, str())):
                return "".join(value if isinstance(value, str) else HOLE for value in values)[:MAX_CHARS]
            case "|", _:
                return values
        return None


def _operator(node: Node) -> str:
    return text(node.child_by_field_name("operator"))


def _place(node: Node) -> Place:
    return Place(node.start_point.row + 1, node.start_point.column + 1)
