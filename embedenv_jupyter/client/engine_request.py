"""From what a program asks of the engine to the frame that asks the gateway."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping
from typing import TypedDict, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from embedenv_jupyter.client.address import API_KEY_VARIABLE
from embedenv_jupyter.client.refusal import AddressError
from embedenv_jupyter.errors import SourceError
from embedenv_jupyter.protocols.engine import frames

T = TypeVar("T")


class RunOptions(TypedDict, total=False):
    """How code is run; each may be left out."""

    files: Mapping[str, str | bytes]
    """By path, put into the folder that the program runs in."""
    args: Iterable[str]
    env: Mapping[str, str]
    timeout: float
    """Seconds, for compiling and running each; what the gateway allows."""
    fresh: bool
    """Run it as a program of its own, which finds no state and leaves none."""
    cell: bool
    """Whether the code continues what ran before it in the session, or is a whole program. Without it,
    code of a compiled language is a program, and that of any other a cell."""
    limits: Mapping[str, float]
    """Of the session's room, set by its first run: ``memory_mib``, ``pids``, ``cpus``, ``disk_mib``."""


def request_of(
    id: str,
    session: str | None,
    language: str,
    code: str,
    *,
    stdin: str | None,
    pty: tuple[int, int] | None = None,
    files: Mapping[str, str | bytes] | None = None,
    args: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    fresh: bool = False,
    cell: bool | None = None,
    limits: Mapping[str, float] | None = None,
) -> frames.Execute:
    """Make the frame of a run.

    Raises:
        SourceError: ``limits`` has what is no limit.
    """
    return frames.Execute(
        language=language, code=code, id=id, stream=True, fresh=fresh, session=_or_unset(session),
        stdin=_or_unset(stdin), args=list(args) or UNSET, env=dict(env) if env else UNSET,
        files={path: _content(content) for path, content in files.items()} if files else UNSET,
        timeout=_or_unset(timeout), cell=_or_unset(cell), limits=_limits(limits),
        pty=frames.Size(*pty) if pty is not None else UNSET,
    )  # fmt: skip


def api_key_of(given: str | None, environment: Mapping[str, str]) -> str:
    """Return the key that was given, or the environment's.

    Raises:
        AddressError: there is none.
    """
    key = given or environment.get(API_KEY_VARIABLE, "")
    if not key:
        raise AddressError(f"no API key was given and {API_KEY_VARIABLE} is not set")
    return key


def session_of(given: str | None, *, resume: bool) -> str | None:
    """Return the name of the session: the given one, a new one, or none.

    Raises:
        AddressError: it is no name, or is not to be resumed.
    """
    if given is None:
        return f"python-{secrets.token_hex(8)}" if resume else None
    if not resume:
        raise AddressError("a session with a name is always resumed; give no name, or leave resume=False out")
    try:
        return msgspec.convert(given, frames.SessionName)
    except msgspec.ValidationError:
        raise AddressError(f"{given!r:.80} is no session: 1 to 64 letters, digits, '_', '.', '-'") from None


def _content(content: str | bytes) -> str | frames.Base64:
    return content if isinstance(content, str) else frames.Base64(base64.b64encode(content).decode())


def _limits(limits: Mapping[str, float] | None) -> frames.Limits | UnsetType:
    if not limits:
        return UNSET
    try:
        return msgspec.convert(dict(limits), frames.Limits)
    except msgspec.ValidationError as exc:
        raise SourceError("limits", str(exc)) from None


def _or_unset(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
