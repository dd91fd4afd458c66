"""The OpenAPI document of what the Engine offers by HTTP (https://spec.openapis.org/oas/v3.1.1)."""

from __future__ import annotations

from typing import Final, get_args

from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.listing import LanguageList
from embedenv_jupyter.protocols.engine.schemas import Schema, reference, replaced, schemas_of

EXECUTE_PATH: Final = "/api/v1/execute"
LANGUAGES_PATH: Final = "/api/languages"

_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_RETRY: Final = ("429", "503")
"""Statuses that may be another one when the same is asked again."""

_COUNTED: Final = ("200", "402", "410", "422", "429", "503")
"""Statuses of requests that were taken from what an account may begin."""

_REFUSED_RUN: Final = {
    "400": "`bad_frame`: the body is no JSON, or has another shape than is described here.",
    "401": "`unauthorized`: there is no key, or it is nobody's.",
    "402": "`insufficient_credits`: the account cannot pay for the run.",
    "410": "`gone`: the room ended before the run had.",
    "413": f"`too_large`: the body has more than {frames.MAX_MESSAGE_BYTES} bytes.",
    "422": "The body has the right shape, and what it asks for is not run: `bad_request` (a value is not "
    "acceptable), `unknown_language`, `missing_toolchain` (the language cannot be run here), or `blocked` "
    "(a rule recognises an attack in the code).",
    "429": "`rate_limited`: the account has begun as many runs as it may in a minute. "
    "`busy`: the session or the gateway can take no more now.",
    "503": "`unavailable`: there is no room, or no database, to be had now.",
}
_REFUSED_LIST: Final = {
    "401": "There is no key and no login, or the key is nobody's.",
    "403": "The user of this Jupyter server may not look at rooms.",
    "429": "The gateway holds as many rooms as it may.",
    "503": "There is no room to be had now in which to look.",
}


def openapi(*, version: str, server_url: str) -> Schema:
    """Describe the requests and all their answers; ``server_url`` is where the gateway's routes begin."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Embedenv Engine",
            "version": version,
            "description": "Runs code of many languages in sandboxed rooms. Integers are written without a "
            "fraction. `asyncapi.json` beside this document describes the WebSocket, which has input, "
            "signals and sessions as well.",
            "license": {"name": "BSD 3-Clause", "identifier": "BSD-3-Clause"},
        },
        "servers": [{"url": server_url}],
        "paths": {EXECUTE_PATH: {"post": _execute()}, LANGUAGES_PATH: {"get": _languages()}},
        "components": {
            "schemas": _schemas(),
            "headers": _headers(),
            "securitySchemes": {
                "apiKey": {
                    "type": "http", "scheme": "bearer",
                    "description": "An API key, or a pair `PUBLIC:SECRET`.",
                },
                "jupyterToken": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "`token TOKEN` with the Jupyter server's token. Its cookie will do, too.",
                },
            },
        },
    }  # fmt: skip


def _schemas() -> dict[str, Schema]:
    stream = get_args(frames.StreamFrame)
    found = schemas_of([frames.Batch, frames.Answer, *stream, LanguageList])
    found["Answer"] = replaced(found["Answer"], execution_time={"type": "string", "pattern": "^[0-9]+ms$"})
    found["Answers"] = {
        "description": "What became of each run of a batch, in its order.",
        "type": "object",
        "properties": {
            "results": {"type": "array", "items": {"anyOf": [reference("Answer"), reference("Error")]}}
        },
        "required": ["results"],
    }
    # OpenAPI 3.1 has no word for the items of a stream; those who read one take this as that of an event.
    found["Event"] = {
        "description": "One of the Server-Sent Events.",
        "type": "object",
        "properties": {
            "event": {"description": "The `type` of its data.", "type": "string"},
            "id": {"description": "Its number in the session.", "type": "string", "pattern": "^[0-9]+$"},
            "data": {
                "type": "string",
                "contentMediaType": _JSON,
                "contentSchema": reference("StreamFrame"),
            },
        },
        "required": ["event", "id", "data"],
    }
    found["StreamFrame"] = {
        "description": "What happens while a run goes on.",
        "oneOf": [reference(kind.__name__) for kind in stream],
        "discriminator": {
            "propertyName": "type",
            "mapping": {str(kind.__struct_config__.tag): reference(kind.__name__)["$ref"] for kind in stream},
        },
    }
    found["Problem"] = {
        "description": "Why a request was refused: `message` for people, `reason` (a name) for programs.",
        "type": "object",
        "properties": {"message": {"type": "string"}, "reason": {"type": "string"}},
        "required": ["message", "reason"],
    }
    return found


def _headers() -> dict[str, Schema]:
    per_minute = "There where runs per minute are limited. "
    number: Schema = {"type": "integer", "minimum": 0}
    return {
        "RateLimit-Limit": {"description": per_minute + "How many an account may begin.", "schema": number},
        "RateLimit-Remaining": {"description": per_minute + "How many it may begin now.", "schema": number},
        "RateLimit-Reset": {
            "description": per_minute + "After so many seconds it may begin all of them again.",
            "schema": number,
        },
        "Retry-After": {
            "description": "After so many seconds it is worth another try.", "required": True,
            "schema": {"type": "integer", "minimum": 1},
        },
        "WWW-Authenticate": {
            "description": "How to prove who asks.", "required": True, "schema": {"type": "string"},
        },
    }  # fmt: skip


def _execute() -> Schema:
    done = {
        "description": "It has run, whatever it ended by: the answer, or for a batch all answers. "
        f"With `Accept: {_EVENTS}` what happens is told by Server-Sent Events while it happens; "
        "the last one is a `result` or an `error`. A batch cannot be streamed.",
        "content": {
            _JSON: {"schema": {"anyOf": [reference("Answer"), reference("Answers")]}},
            _EVENTS: {"schema": reference("Event")},
        },
    }
    hello = {"language": "python", "code": "print('Hello')"}
    reads = {"language": "bash", "code": "read x; echo $x", "stdin": "1"}
    return {
        "operationId": "execute",
        "summary": "Run code",
        "description": "Without a `session` each run has a room of its own, which ends with it.",
        "security": [{"apiKey": []}],
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {
                    # What has `runs` is read as a batch, whatever else it has.
                    "schema": {
                        "oneOf": [
                            {**reference("Work"), "not": {"required": ["runs"]}},
                            reference("Batch"),
                        ]
                    },
                    "examples": {
                        "one": {"summary": "One run", "value": hello},
                        "batch": {"summary": "One after another", "value": {"runs": [hello, reads]}},
                    },
                }
            },
        },
        "responses": {
            "200": {**done, "headers": _headers_of("200", _COUNTED)},
            **_refusals(_REFUSED_RUN, "Error", _COUNTED),
        },
    }  # fmt: skip


def _languages() -> Schema:
    return {
        "operationId": "languages",
        "summary": "List the languages",
        "description": "A room of the gateway is asked; what it says holds for some minutes.",
        "security": [{"apiKey": []}, {"jupyterToken": []}],
        "responses": {
            "200": {
                "description": "All of them, those included that cannot be run here.",
                "content": {_JSON: {"schema": reference("LanguageList")}},
            },
            **_refusals(_REFUSED_LIST, "Problem"),
        },
    }


def _refusals(texts: dict[str, str], schema: str, counted: tuple[str, ...] = ()) -> Schema:
    return {
        status: {
            "description": text,
            "headers": _headers_of(status, counted),
            "content": {_JSON: {"schema": reference(schema)}},
        }
        for status, text in texts.items()
    }


def _headers_of(status: str, counted: tuple[str, ...]) -> Schema:
    names: list[str] = []
    if status in counted:
        names += ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]
    if status in _RETRY:
        names.append("Retry-After")
    if status == "401":
        names.append("WWW-Authenticate")
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
