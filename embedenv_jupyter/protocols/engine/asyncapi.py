"""The AsyncAPI document of the Engine's WebSocket (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""

from __future__ import annotations

from typing import Final, get_args

from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.schemas import Schema, reference, replaced, schemas_of

CHANNEL: Final = "engine"
ADDRESS: Final = "/ws"


def asyncapi(*, version: str, host: str, pathname: str, is_secure: bool) -> Schema:
    """Describe all frames; ``pathname`` is where the gateway's routes begin on ``host``."""
    to_gateway, to_client = get_args(frames.ClientFrame), get_args(frames.ServerFrame)
    schemas = schemas_of([*to_gateway, *to_client])
    schemas["Answer"] = replaced(schemas["Answer"], execution_time={"type": "number", "minimum": 0})
    names = [kind.__name__ for kind in (*to_gateway, *to_client)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Embedenv Engine",
            "version": version,
            "description": "Code goes out, what it printed comes back: one JSON object in each text message. "
            f"A message has at most {frames.MAX_MESSAGE_BYTES} bytes. A faulty one is answered by an `Error` "
            "and the socket lives; only a binary message and one that is too long end it. "
            "The key of an account comes in a frame, or with the handshake as `Authorization: Bearer KEY`.",
            "license": {"name": "BSD 3-Clause", "url": "https://opensource.org/license/bsd-3-clause"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {"host": host, "pathname": pathname, "protocol": "wss" if is_secure else "ws"}
        },
        "channels": {
            CHANNEL: {
                "address": ADDRESS,
                "description": "A request without `stream` has one answer. One with it is answered by frames "
                "that carry its `id`, the last of which is a `Result` or an `Error`.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": {
            "receive": _operation("receive", "What a client sends.", to_gateway),
            "send": _operation("send", "What the gateway sends.", to_client),
        },
        "components": {
            "messages": {name: _message(name, schemas[name]) for name in names},
            "schemas": schemas,
        },
    }


def _operation(action: str, summary: str, kinds: tuple[type, ...]) -> Schema:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "messages": [{"$ref": f"#/channels/{CHANNEL}/messages/{kind.__name__}"} for kind in kinds],
    }


def _message(name: str, schema: Schema) -> Schema:
    summary, _, rest = str(schema["description"]).partition("\n\n")
    message: Schema = {"name": name, "summary": summary, "payload": reference(name)}
    if rest:
        message["description"] = rest
    return message
