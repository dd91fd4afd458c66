"""A kernel in another language than Python: its cells are that language's, by the room's own ``%%lang``.

The kernel in the room stays a Python kernel, which the other language's programs
share their files with; a cell that begins with one of the room's magics is left alone.
"""

from __future__ import annotations

import json
from typing import Any, Final

from embedenv_jupyter.forwarder.link import Event, Link
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.protocols.kernels import Message

LANGUAGE_VARIABLE: Final = "EMBEDENV_LANGUAGE"
PYTHON: Final = "python"

_MAGICS: Final = ("%%lang", "%%room", "%embedenv")
_CONTENT: Final = 3
_ASKS_ABOUT_CODE: Final = frozenset(("complete_request", "inspect_request"))
"""What would be answered about Python."""


def in_language(link: Link, language: str) -> Link:
    """Return a link whose cells are in a language; the same one for Python."""
    return link if language in ("", PYTHON) else LanguageLink(link, language)


class LanguageLink:
    """Wraps the link to a Python kernel of a room."""

    def __init__(self, link: Link, language: str) -> None:
        self._link = link
        self._language = language

    async def send(self, message: Message) -> None:
        kind = messages.header_of(message).msg_type
        if kind == "execute_request":
            message = self._translated(message)
        elif kind in _ASKS_ABOUT_CODE and not _is_magic(_content(message).get("code")):
            # About nothing, nothing is known; about this code, only Python would be.
            message = _with_content(message, {**_content(message), "code": "", "cursor_pos": 0})
        await self._link.send(message)

    def _translated(self, message: Message) -> Message:
        content = _content(message)
        code = content.get("code")
        if not isinstance(code, str) or not code.strip() or _is_magic(code):
            return message
        return _with_content(message, {**content, "code": f"%%lang {self._language}\n{code}"})

    async def receive(self) -> Event:
        event = await self._link.receive()
        if isinstance(event, Message) and b'"kernel_info_reply"' in event.parts[0]:
            info = {"name": self._language, "version": "", "mimetype": "text/plain", "file_extension": ".txt"}
            return _with_content(event, {**_content(event), "language_info": info})
        return event

    async def aclose(self) -> None:
        await self._link.aclose()


def _is_magic(code: object) -> bool:
    return isinstance(code, str) and code.lstrip().startswith(_MAGICS)


def _content(message: Message) -> dict[str, Any]:
    try:
        content = json.loads(message.parts[_CONTENT])
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _with_content(message: Message, content: dict[str, Any]) -> Message:
    parts = message.parts
    encoded = json.dumps(content).encode()
    return Message(message.channel, (*parts[:_CONTENT], encoded, *parts[_CONTENT + 1 :]))
