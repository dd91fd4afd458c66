"""What is wrong with a frame, in a sentence that its sender can act on.

msgspec says where a frame has the wrong shape and what it expected there. This
module rewrites that for somebody who knows only the protocol's page, and adds
what would have been allowed.
"""

from __future__ import annotations

import re
from typing import get_args

import msgspec

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError

MAX_REASON_CHARS = 400
MAX_SHOWN_CHARS = 60

_LOCATED = re.compile(r"(?P<what>.*) - at `\$\.?(?P<where>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>\w+)`")


class FrameError(RemoteProtocolError):
    """One frame was refused; ``id`` is the command's, where it had one.

    Unless ``is_fatal`` the peer gets an error frame and the socket lives. If it
    is, the socket is closed with ``code``.
    """

    def __init__(
        self,
        reason: str,
        code: CloseCode = CloseCode.PROTOCOL_ERROR,
        *,
        is_fatal: bool = False,
        id: str | None = None,
    ) -> None:
        if len(reason) > MAX_REASON_CHARS:
            reason = reason[: MAX_REASON_CHARS - 1] + "…"
        super().__init__(reason, code)
        self.is_fatal = is_fatal
        self.id = id


def shown(text: str) -> str:
    """Quote what a peer sent: short, and with everything that does not print escaped."""
    return repr(text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…")


def tags_of(union: object) -> tuple[str, ...]:
    """Name the types that a union of tagged frames allows, in its order."""
    return tuple(str(member.__struct_config__.tag) for member in get_args(union))


def explain(exc: Exception, subject: str, allowed: dict[str, tuple[str, ...]]) -> str:
    """Say why ``subject`` could not be decoded.

    ``allowed`` has the types that may stand in each place that holds one, by
    its path (``"type"``, ``"command.type"``).
    """
    if isinstance(exc, msgspec.ValidationError):
        return _wrong_shape(str(exc), subject, allowed)
    if isinstance(exc, UnicodeError):
        return f"{subject} is not UTF-8"
    if isinstance(exc, RecursionError):
        return f"{subject} is nested too deeply"
    detail = str(exc).removeprefix("JSON is malformed: ")
    if "surrogate" in detail:
        detail = detail.replace("utf-16 surrogate pair", "surrogate pair (half of one is no character)")
    elif detail == "Input data was truncated":
        detail = "it ends too early"
    return f"{subject} is not JSON: {detail}"


def _wrong_shape(message: str, subject: str, allowed: dict[str, tuple[str, ...]]) -> str:
    what, where = message, ""
    if located := _LOCATED.fullmatch(message):
        what, where = located["what"], located["where"]
    if missing := _MISSING.fullmatch(what):
        where = f"{where}.{missing['field']}".lstrip(".")
        what = "is missing"
    if where in allowed:
        return _wrong_type(what, where, allowed[where])
    if what == "is missing":
        return f"{where!r} is missing"
    what = what[:1].lower() + what[1:]
    return f"{where!r}: {what}" if where else f"{subject}: {what}"


def _wrong_type(what: str, where: str, types: tuple[str, ...]) -> str:
    value = what.removeprefix("Invalid value ")
    if value != what:
        value = value if len(value) <= MAX_SHOWN_CHARS else f"{value[:MAX_SHOWN_CHARS]}…'"
        what = f"there is no {value}"
    elif what != "is missing":
        what = what[:1].lower() + what[1:]
    joint = " " if what == "is missing" else ": "
    return f"{where!r}{joint}{what}; allowed: {', '.join(types)}"
