"""What is wrong with a frame, in a sentence that its sender can act on.

msgspec says where a frame has the wrong shape and what it expected there. This
module rewrites that for somebody who knows only the protocol's page, and adds
what would have been allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias, get_args

import msgspec

from embedenv_jupyter.errors import CloseCode, RemoteProtocolError

MAX_REASON_CHARS = 400
MAX_SHOWN_CHARS = 60

_LOCATED = re.compile(r"(?P<what>.*) - at `\$\.?(?P<where>.*)`", re.DOTALL)
_TYPE = re.compile(r"`([^`]+)`")
_NAMES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
"""What JSON calls the types that Python calls otherwise."""
_IS_MISSING = "is missing"
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


Allowed: TypeAlias = Mapping[str, tuple[str, ...]]
"""The types that may stand in each place that holds one, by its path: ``type``, ``command.type``."""

FRAME = "the frame"


def explain(exc: Exception, subject: str = FRAME, allowed: Allowed = MappingProxyType({})) -> str:
    """Say why ``subject`` could not be decoded, and what is ``allowed`` where it names an unknown type."""
    if isinstance(exc, msgspec.ValidationError):
        where, what = place_of(exc)
        if where in allowed:
            what = f"{_clipped(what)}; allowed: {', '.join(allowed[where])}"
        sentence = placed(where, what)
        return sentence if where and subject == FRAME else f"{subject}: {sentence}"
    if isinstance(exc, UnicodeError):
        return f"{subject} is not UTF-8"
    if isinstance(exc, RecursionError):
        return f"{subject} is nested too deeply"
    detail = str(exc).removeprefix("JSON is malformed: ")
    if "surrogate" in detail:
        detail = detail.replace("utf-16 surrogate pair", "surrogate pair (half of one is no character)")
    elif detail == "Input data was truncated":
        detail = "it ends too early, or with half of a surrogate pair"
    return f"{subject} is not JSON: {detail}"


def place_of(exc: msgspec.ValidationError) -> tuple[str, str]:
    """Return where msgspec found the wrong shape (``""`` for the whole) and what is wrong there."""
    what, where = str(exc), ""
    if located := _LOCATED.fullmatch(what):
        what, where = located["what"], located["where"]
    if missing := _MISSING.fullmatch(what):
        return f"{where}.{missing['field']}".lstrip("."), _IS_MISSING
    if what.startswith("Invalid value "):
        return where, "there is no " + what.removeprefix("Invalid value ")
    what = _TYPE.sub(_as_json_says, what)
    return where, what[:1].lower() + what[1:]


def placed(where: str, what: str) -> str:
    """Join what :func:`place_of` returned."""
    if not where:
        return what
    return f"{where!r} {what}" if what.startswith(_IS_MISSING) else f"{where!r}: {what}"


def _as_json_says(quoted: re.Match[str]) -> str:
    return " or ".join(_NAMES.get(name, name) for name in quoted[1].split(" | "))


def _clipped(what: str) -> str:
    """Cut a quoted value that the peer made long."""
    return what if len(what) <= MAX_SHOWN_CHARS else f"{what[:MAX_SHOWN_CHARS]}…'"
