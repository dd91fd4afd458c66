"""What went wrong, as an HTTP status and a sentence: the one place where errors become answers of REST."""

from __future__ import annotations

from tornado.web import HTTPError

from embedenv_jupyter import errors

_STATUS: tuple[tuple[type[errors.EmbedEnvError], int], ...] = (
    (errors.RemoteProtocolError, 400),
    (errors.AuthenticationError, 401),
    (errors.UnknownKeyError, 401),
    (errors.InsufficientCreditsError, 402),
    (errors.RoleError, 403),
    (errors.UnknownRoomError, 404),
    (errors.UnknownKernelError, 404),
    (errors.UnknownTerminalError, 404),
    (errors.UnknownPreviewError, 404),
    (errors.RoomClosedError, 410),
    (errors.LimitError, 400),
    (errors.ContentError, 400),
    (errors.MissingFileError, 404),
    (errors.FileTakenError, 409),
    (errors.FileChangedError, 412),
    (errors.FileTooLargeError, 413),
    (errors.WorkspaceError, 422),
    (errors.RoomPausedError, 409),
    (errors.BusyError, 429),
    (errors.AccountsUnavailableError, 503),
    (errors.SandboxError, 503),
)


class ProblemError(HTTPError):
    """An answer that is no success: ``message`` is for people, ``reason`` (a name) for programs."""

    def __init__(self, status: int, message: str, reason: str) -> None:
        super().__init__(status)
        self.message = message
        self.problem = reason


def problem_of(exc: errors.EmbedEnvError) -> ProblemError:
    """Return the answer that an error deserves; one that is nobody's fault is 500, and the log has it."""
    for kind, status in _STATUS:
        if isinstance(exc, kind):
            return ProblemError(status, str(exc), type(exc).__name__)
    return ProblemError(500, "The gateway failed; its log says why.", "InternalError")


def refusal_of(exc: errors.EmbedEnvError) -> HTTPError:
    """Return the answer to who asks for a WebSocket and gets none."""
    return HTTPError(problem_of(exc).status_code, str(exc).replace("%", "%%"))  # its text is a format
