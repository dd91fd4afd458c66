"""The documents of the Engine: well formed, complete, and true of the golden frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.asyncapi import asyncapi
from embedenv_jupyter.protocols.engine.openapi import openapi
from embedenv_jupyter.protocols.engine.schemas import as_markdown, schemas_of

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "golden" / "engine_stream.json").read_text(encoding="utf-8")
)
OPENAPI = openapi(version="1.2", server_url="/base/embedenv")
ASYNCAPI = asyncapi(version="1.2", host="example.org", pathname="/base/embedenv", is_secure=True)
BOTH = pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])

ONLY_THE_GATEWAY_SEES = {"a stream without an id": 'needs an "id"', "no JSON": "not JSON"}
"""What is refused although it has the right shape, and what has none."""


def validator(document: dict[str, Any], *names: str) -> Draft202012Validator:
    """Validate whatever is one of these by the schemas of a document."""
    choice = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    return Draft202012Validator({**choice, "components": document["components"]})


def names_of(union: object) -> list[str]:
    return [kind.__name__ for kind in get_args(union)]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def texts(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (part[key] for key in ("description", "summary") if isinstance(part.get(key), str))
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from texts(inner)


def test_the_openapi_document_is_valid() -> None:
    OpenAPIV31SpecValidator(OPENAPI).validate()


@BOTH
def test_all_references_lead_somewhere_and_all_schemas_are_valid(document: dict[str, Any]) -> None:
    found = set(references(document))
    for reference in found:
        part: Any = document
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}" in found, f"{name} describes nothing"


@BOTH
def test_each_schema_is_described_and_no_markup_of_python_is_left(document: dict[str, Any]) -> None:
    assert all(schema["description"] for schema in document["components"]["schemas"].values())
    assert not [text for text in texts(document) if "``" in text or re.search(r":\w+:`", text)]


def test_a_field_is_described_by_what_stands_below_it() -> None:
    execute = ASYNCAPI["components"]["schemas"]["Execute"]["properties"]
    assert execute["fresh"]["description"].startswith("Run it as a program of its own")
    assert execute["stdin"]["description"].startswith("The whole input")  # of the class above it


def test_the_operations_have_each_frame_of_the_unions_once() -> None:
    operations = ASYNCAPI["operations"]
    for action, union in (("receive", frames.ClientFrame), ("send", frames.ServerFrame)):
        (operation,) = [one for one in operations.values() if one["action"] == action]
        sent = [message["$ref"].rpartition("/")[2] for message in operation["messages"]]
        assert sent == names_of(union)


def test_the_published_time_is_a_number_on_sockets_and_a_text_in_rest() -> None:
    answer = {"stdout": "", "stderr": "", "exit_code": 0}
    for document, good, bad in ((ASYNCAPI, 87.5, "87ms"), (OPENAPI, "87ms", 87.5)):
        assert validator(document, "Answer").is_valid({**answer, "execution_time": good})
        assert not validator(document, "Answer").is_valid({**answer, "execution_time": bad})


@pytest.mark.parametrize("entry", GOLDEN["client"], ids=lambda entry: entry["name"])
def test_golden_requests_are_as_described(entry: dict[str, Any]) -> None:
    validator(ASYNCAPI, entry["kind"]).validate(entry["frame"])
    validator(ASYNCAPI, *names_of(frames.ClientFrame)).validate(entry["frame"])


@pytest.mark.parametrize("entry", GOLDEN["server"] + GOLDEN["connection"], ids=lambda entry: entry["name"])
def test_golden_frames_are_as_described(entry: dict[str, Any]) -> None:
    validator(ASYNCAPI, *names_of(frames.ServerFrame)).validate(entry["frame"])
    if "type" in entry["frame"] and entry in GOLDEN["server"]:
        validator(OPENAPI, "StreamFrame").validate(entry["frame"])


@pytest.mark.parametrize("entry", GOLDEN["refused"], ids=lambda entry: entry["name"])
def test_golden_faults_are_not_as_described(entry: dict[str, Any]) -> None:
    if entry["name"] in ONLY_THE_GATEWAY_SEES:
        assert entry["says"] == ONLY_THE_GATEWAY_SEES[entry["name"]]
        return
    assert not validator(ASYNCAPI, *names_of(frames.ClientFrame)).is_valid(json.loads(entry["text"]))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("session", "lesson-1.a_B", "lesson\n"),
        ("session", "x" * 64, "é"),
        ("env", {"A": "x"}, {"A\n": "x"}),
        ("timeout", 86_400, 86_401),
    ],
)
def test_what_is_described_is_what_is_read(name: str, good: Any, bad: Any) -> None:
    work = {"language": "c", "code": ""}
    msgspec.convert({**work, name: good}, frames.Work)
    assert validator(OPENAPI, "Work").is_valid({**work, name: good})
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**work, name: bad}, frames.Work)
    assert not validator(OPENAPI, "Work").is_valid({**work, name: bad})


def test_a_docstring_becomes_text_for_everybody() -> None:
    assert as_markdown("Ask for a :class:`~a.b.Pong` by ``id``.\n\n    More.") == (
        "Ask for a `a.b.Pong` by `id`.\n\nMore."
    )


def test_a_program_that_is_shipped_without_its_source_describes_its_types_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from embedenv_jupyter.protocols.engine import schemas

    def no_source(module: object) -> str:
        raise OSError("could not get source code")

    schemas._texts_of_module.cache_clear()
    monkeypatch.setattr("inspect.getsource", no_source)
    try:
        assert "description" not in schemas_of([frames.Work])["Work"]["properties"]["stdin"]
    finally:
        schemas._texts_of_module.cache_clear()
