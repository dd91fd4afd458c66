"""JSON Schemas of the protocol's types, each described by its docstring.

What validates frames and what describes them cannot differ: both are the same types.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final

import msgspec

Schema = dict[str, Any]
"""A part of a document: a JSON object."""

_REFERENCE: Final = "#/components/schemas/{name}"
_ROLE: Final = re.compile(r":\w+:`[~.]*([^`]+)`")


def reference(name: str) -> Schema:
    """Point to a schema of the same document."""
    return {"$ref": _REFERENCE.format(name=name)}


def schemas_of(types: Iterable[type]) -> dict[str, Schema]:
    """Return, by name, the schemas of structs and of all that they are made of."""
    chosen = list(types)
    _, found = msgspec.json.schema_components(chosen, schema_hook=_anything, ref_template=_REFERENCE)
    known = {name: kind for chosen_type in chosen for name, kind in _structs_beside(chosen_type)}
    return {name: _described(schema, known[name]) for name, schema in found.items()}


def as_markdown(docstring: str) -> str:
    """Return a docstring as these documents write text."""
    return _ROLE.sub(r"`\1`", inspect.cleandoc(docstring)).replace("``", "`")


def replaced(schema: Schema, **properties: Schema) -> Schema:
    """Return a schema of an object with other schemas for some of its properties."""
    changed = {name: {**_text_of(schema["properties"][name]), **new} for name, new in properties.items()}
    return {**schema, "properties": {**schema["properties"], **changed}}


def _anything(kind: type) -> Schema:
    """Describe ``object``, for which msgspec takes no empty schema."""
    if kind is not object:
        raise NotImplementedError
    return {"description": "Any JSON value."}


def _structs_beside(kind: type) -> Iterator[tuple[str, type]]:
    for name, value in vars(sys.modules[kind.__module__]).items():
        if isinstance(value, type) and issubclass(value, msgspec.Struct):
            yield name, value


def _described(schema: Schema, kind: type) -> Schema:
    texts = {name: text for owner in reversed(kind.__mro__) for name, text in _field_texts(owner).items()}
    properties = {
        name: {**inner, "description": texts[name]} if name in texts else inner
        for name, inner in schema["properties"].items()
    }
    described = {**schema, "properties": properties}
    if "description" in schema:
        described["description"] = as_markdown(schema["description"])
    return described


def _text_of(schema: Schema) -> Schema:
    return {key: schema[key] for key in ("description",) if key in schema}


def _field_texts(owner: type) -> dict[str, str]:
    """Return what is written below the fields of a struct."""
    if not issubclass(owner, msgspec.Struct) or owner is msgspec.Struct:
        return {}
    return _texts_of_module(owner.__module__).get(owner.__name__, {})


@lru_cache
def _texts_of_module(module: str) -> dict[str, dict[str, str]]:
    """Read, by class and field, the texts below fields; none where a program is shipped without source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except OSError:
        return {}
    return {node.name: dict(_texts_in(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts_in(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(node.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, as_markdown(text)
