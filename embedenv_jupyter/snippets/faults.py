"""What an error of ours is called in a frame of the Engine protocol."""

from __future__ import annotations

from typing import Final

from embedenv_jupyter import errors
from embedenv_jupyter.languages.registry import UnknownLanguageError
from embedenv_jupyter.protocols.engine import frames, server

INTERNAL: Final = "internal"
FAILED: Final = "The gateway failed; its log says why."
_NO_ROOM: Final = "No room could be started on this gateway now; its log says why. Try again later."

_NAMES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (errors.RemoteProtocolError, "bad_frame"),
    (errors.AuthenticationError, "unauthorized"),
    (errors.InsufficientCreditsError, "insufficient_credits"),
    (errors.AccountsUnavailableError, "unavailable"),
    (errors.SourceError, "bad_request"),
    (UnknownLanguageError, "unknown_language"),
    (errors.MissingToolchainError, "missing_toolchain"),
    (errors.CodeBlockedError, "blocked"),
    (errors.RateLimitedError, "rate_limited"),
    (errors.UnknownSessionError, "unknown_session"),
    (errors.UnknownNumberError, "unknown_number"),
    (errors.SessionError, "busy"),
    (errors.BusyError, "busy"),
    (errors.RoomClosedError, "gone"),
    (errors.SandboxError, "unavailable"),
)
"""The names for programs, most specific first."""

EXPECTED: Final = (errors.EmbedEnvError, UnknownLanguageError)
"""What a request can meet without anything being broken here."""


def name_of(exc: Exception) -> str:
    """Return the name of a fault for programs."""
    return next((name for kind, name in _NAMES if isinstance(exc, kind)), INTERNAL)


def frame_of(exc: Exception, id: str | None = None) -> frames.Error:
    """Make the error frame of a fault; what only the log may know is not in it."""
    name = name_of(exc)
    text = _NO_ROOM if isinstance(exc, errors.SandboxError) else FAILED if name == INTERNAL else str(exc)
    retry_s = exc.retry_after_s if isinstance(exc, errors.RateLimitedError) else None
    return server.error_frame(name, text, id, retry_after_s=retry_s)
