"""What a fault in a frame of the Engine protocol raises here."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET

from embedenv_jupyter.client.refusal import (
    BlockedError,
    NoCreditsError,
    RefusedError,
    RunStoppedError,
    TooManyRunsError,
    UnknownLanguageError,
)
from embedenv_jupyter.errors import (
    AuthenticationError,
    BusyError,
    ConnectionLostError,
    EmbedEnvError,
    RoomClosedError,
    UnknownSessionError,
)
from embedenv_jupyter.protocols.engine import frames
from embedenv_jupyter.protocols.engine.reports import Loss

PASSING: Final = frozenset({"unavailable", "internal", "busy", "rate_limited"})
"""A gateway that greets us with these may let us in later."""

_REFUSALS: Final[dict[str, type[RefusedError]]] = {
    "insufficient_credits": NoCreditsError,
    "blocked": BlockedError,
    "unknown_language": UnknownLanguageError,
    "gone": RunStoppedError,
}

_REASONS: Final = {
    Loss.CUT: "this run was in a session without a name, which ends with its connection",
    Loss.FORGOTTEN: "the run ended meanwhile, and the gateway keeps no more how",
    Loss.UNKNOWN: "a part of the session's log is gone, so whether it was run is not known",
}


def fault_of(error: frames.Error) -> EmbedEnvError:
    """Return what an error frame stands for; a name that is not known here is a plain ``RefusedError``."""
    match error.error:
        case "unauthorized":
            return AuthenticationError()
        case "busy":
            return BusyError(error.message)
        case "rate_limited":
            retry_after_s = float(error.retry_after) if error.retry_after is not UNSET else 0.0
            return TooManyRunsError(error.message, error.error, retry_after_s)
    return _REFUSALS.get(error.error, RefusedError)(error.message, error.error)


def fault_of_loss(loss: Loss, session: str | None, last_n: int) -> EmbedEnvError:
    """Return why nothing more will be heard of a run."""
    if loss is Loss.SESSION_ENDED:
        return UnknownSessionError(session) if session else RoomClosedError("its session was ended")
    if loss is Loss.BREAKS:
        return RefusedError("Each time that this was sent the gateway ended the connection.", "breaks")
    return ConnectionLostError(_REASONS[loss], last_n)
