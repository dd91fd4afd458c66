"""Every exception that embedenv_jupyter raises on purpose.

    EmbedEnvError
    ├── ProtocolError
    │   ├── LocalProtocolError        our own code broke a protocol: a bug here
    │   └── RemoteProtocolError       the peer broke it; carries the close code
    ├── SandboxError
    │   ├── SandboxUnavailableError   no tier works on this machine
    │   ├── SandboxGoneError          the sandbox died or was closed; carries the cause
    │   ├── SandboxTimeoutError       the supervisor did not answer in time
    │   └── SandboxRequestError       the supervisor refused one request; carries errno and path
    ├── RoomError
    │   ├── RoomClosedError           the room has ended; carries its post-mortem reason
    │   ├── UnknownKeyError           no open room has this join key
    │   ├── UnknownRoomError          no open room has this id
    │   ├── UnknownKernelError        the room has no such kernel
    │   ├── UnknownTerminalError      the room has no such terminal
    │   ├── UnknownPreviewError       the room has no such preview
    │   ├── PreviewError              what a preview shows cannot be shown; carries the HTTP status
    │   ├── UnknownNumberError        the room's log has not come to this number
    │   ├── RoleError                 the member's role does not allow the request
    │   ├── BusyError                 the request must wait for something that runs
    │   │   └── RoomPausedError       the room stands still until somebody resumes it
    │   ├── LimitError                a room was asked for with more than the operator allows
    │   └── WorkspaceError            a path or a file tree is not acceptable
    │       ├── MissingFileError      there is no such file or folder
    │       ├── FileTakenError        there is one of this name already
    │       ├── FileChangedError      the file is not what the writer has read; carries its present hash
    │       ├── FileTooLargeError     it is larger than what is taken or given in one piece
    │       └── ContentError          it is not of the kind or format that was asked for
    ├── AccountError
    │   ├── AuthenticationError       unknown, revoked or wrong key
    │   ├── InsufficientCreditsError  the pools do not cover the cost
    │   ├── UnknownAccountError       there is no such account or public key
    │   ├── IdempotencyError          one idempotency key was used for two different requests
    │   └── AccountsUnavailableError  the database of the accounts cannot be used now
    ├── EngineError
    │   ├── SourceError               code, files, arguments or environment are not acceptable
    │   ├── MissingToolchainError     the room lacks what a language needs; says what to install
    │   ├── SessionError              a language session is busy, or has ended
    │   ├── UnknownSessionError       an account has no engine session of this name
    │   ├── CodeBlockedError          a rule of the gateway recognised something in the code
    │   └── RateLimitedError          more runs were asked for than are taken; says when to try again
    └── ConnectionLostError           the client could not reach its gateway again

The errors carry data; ``str()`` writes the sentence that a peer may read. What
only the log may know (tracebacks, host paths) never enters these texts.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping


class CloseCode(enum.IntEnum):
    """WebSocket close codes that the gateway sends (RFC 6455 section 7.4)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    ROOM_ENDED = 4000
    REVOKED = 4001
    TOO_SLOW = 4002
    HELLO_TIMEOUT = 4408


class EmbedEnvError(Exception):
    """Base of everything that embedenv_jupyter raises on purpose."""


class ProtocolError(EmbedEnvError):
    """A wire protocol was broken by one of its two sides."""


class LocalProtocolError(ProtocolError):
    """Our own side broke the protocol: a bug in this package."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; ``code`` closes the socket when the fault is fatal."""

    def __init__(self, reason: str, code: CloseCode = CloseCode.PROTOCOL_ERROR) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code

    def __str__(self) -> str:
        return self.reason


class SandboxError(EmbedEnvError):
    """Base of everything that goes wrong in or around a sandbox."""


class SandboxUnavailableError(SandboxError):
    """No tier of isolation works here; ``remedies`` say what would unlock one."""

    def __init__(self, reason: str, remedies: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedies = remedies

    def __str__(self) -> str:
        return " ".join((self.reason, *self.remedies))


class SandboxGoneError(SandboxError):
    """The sandbox has ended; ``cause`` is a short machine-readable word."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"The sandbox has ended ({self.cause})."


class SandboxTimeoutError(SandboxError):
    """The supervisor did not answer within ``timeout_s`` seconds."""

    def __init__(self, op: str, timeout_s: float) -> None:
        super().__init__(op, timeout_s)
        self.op = op
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"The sandbox did not answer {self.op!r} within {self.timeout_s:g} s."


class SandboxRequestError(SandboxError):
    """The supervisor refused a request with ``errno``; ``path`` is the path inside, if any."""

    def __init__(self, op: str, errno: int, path: str = "", detail: str = "") -> None:
        super().__init__(op, errno, path, detail)
        self.op = op
        self.errno = errno
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        reason = self.detail or os.strerror(self.errno)
        return f"{self.path}: {reason}" if self.path else f"{self.op}: {reason}"


class RoomError(EmbedEnvError):
    """Base of what a room refuses."""


class RoomClosedError(RoomError):
    """The room has ended for ``reason``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"This room has ended: {self.reason}."


class UnknownKeyError(RoomError):
    """No open room has the join key that was presented."""

    def __str__(self) -> str:
        return "This join key opens no room; it may have expired or its room has ended."


class UnknownRoomError(RoomError):
    """No open room has the id ``room``."""

    def __init__(self, room: str) -> None:
        super().__init__(room)
        self.room = room

    def __str__(self) -> str:
        return f"There is no open room {self.room!r:.80}; it may have ended."


class UnknownKernelError(RoomError):
    """The room has no kernel ``wanted``; ``known`` are those that it has."""

    def __init__(self, wanted: str, known: tuple[str, ...]) -> None:
        super().__init__(wanted, known)
        self.wanted = wanted
        self.known = known

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"This room has no kernel {self.wanted!r:.80}; it has: {known}."


class UnknownTerminalError(RoomError):
    """The room has no terminal of this name; ``known`` are those that it has."""

    def __init__(self, name: str, known: tuple[str, ...] = ()) -> None:
        super().__init__(name)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        has = f"it has {', '.join(self.known)}" if self.known else "it has none"
        return f"This room has no terminal {self.name}; {has}."


class UnknownPreviewError(RoomError):
    """The room has no preview with this capability."""

    def __init__(self, capability: str) -> None:
        super().__init__(capability)
        self.capability = capability

    def __str__(self) -> str:
        return "This room has no such preview."


class PreviewError(RoomError):
    """A preview shows nothing: ``status`` (of HTTP) and ``message`` say why; ``may_come``: it may soon."""

    def __init__(self, status: int, message: str, *, may_come: bool = False) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.may_come = may_come

    def __str__(self) -> str:
        return self.message


class UnknownNumberError(RoomError, ValueError):
    """A reader asked for what follows the number ``asked``; the log's newest is ``last``."""

    def __init__(self, asked: int, last: int) -> None:
        super().__init__(asked, last)
        self.asked = asked
        self.last = last

    def __str__(self) -> str:
        has = f"has the events 1 to {self.last}" if self.last else "has no events yet"
        return f"This room {has}; the number {self.asked} comes from another room."


class RoleError(RoomError):
    """A member asked for more than the role allows."""

    def __init__(self, action: str, needed: str, has: str) -> None:
        super().__init__(action, needed, has)
        self.action = action
        self.needed = needed
        self.has = has

    def __str__(self) -> str:
        return f"To {self.action} needs the role {self.needed!r}; yours is {self.has!r}."


class BusyError(RoomError):
    """The room or connection cannot take this request now; ``str()`` says what to wait for."""


class RoomPausedError(BusyError):
    """The room's programs stand still, so it can do nothing."""

    def __str__(self) -> str:
        return "This room is paused; its owner can resume it."


class LimitError(RoomError):
    """A room was asked for with more than the operator allows: ``limit`` is at most ``most``."""

    def __init__(self, limit: str, asked: float, most: float) -> None:
        super().__init__(limit, asked, most)
        self.limit = limit
        self.asked = asked
        self.most = most

    def __str__(self) -> str:
        return f"A room on this gateway may have {self.limit} up to {self.most:.15g}, not {self.asked:.15g}."


class WorkspaceError(RoomError):
    """A path, name or file tree was refused; ``path`` is what was wrong with, ``reason`` why."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        shown = self.path if len(self.path) <= 200 else self.path[:200] + "…"
        return f"{shown!r}: {self.reason}"


class MissingFileError(WorkspaceError):
    """The workspace has no ``path``."""


class FileTakenError(WorkspaceError):
    """The workspace has ``path`` already, and it must not be replaced."""


class FileChangedError(WorkspaceError):
    """``path`` was written since whoever writes now has read it; its content now has the hash ``sha256``.

    The hash is in hex, and "" where there is no such file.
    """

    def __init__(self, path: str, sha256: str) -> None:
        super().__init__(path, "has changed since it was read" if sha256 else "is there no more")
        self.sha256 = sha256


class FileTooLargeError(WorkspaceError):
    """``path`` has more than is taken or given in one piece; the text says how much, and what helps."""


class ContentError(WorkspaceError):
    """``path`` is, or what was sent for it is, of another kind or format than was asked for."""


class AccountError(EmbedEnvError):
    """Base of what the accounts refuse."""


class AuthenticationError(AccountError):
    """The keys are unknown, revoked or wrong; the text never says which."""

    def __str__(self) -> str:
        return "These keys are not valid: unknown, revoked or wrong."


class InsufficientCreditsError(AccountError):
    """The pools hold ``available`` credits where ``needed`` are due."""

    def __init__(self, needed: int, available: int) -> None:
        super().__init__(needed, available)
        self.needed = needed
        self.available = available

    def __str__(self) -> str:
        return f"This costs {self.needed} credits and {self.available} are left."


class UnknownAccountError(AccountError):
    """There is no account or public key ``name``."""

    def __init__(self, name: int | str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"There is no account {self.name!r:.80}."


class IdempotencyError(AccountError):
    """An idempotency key came again with another request than the first time."""

    def __init__(self, key: str, before: str, now: str) -> None:
        super().__init__(key, before, now)
        self.key = key
        self.before = before
        self.now = now

    def __str__(self) -> str:
        return f"The idempotency key {self.key!r} stands for {self.before} already, not for {self.now}."


class AccountsUnavailableError(AccountError):
    """The database of the accounts cannot be used now.

    ``reason`` and ``remedy`` are for the administrator: they may name hosts and
    paths, so they are in tracebacks and never in the text for the peer.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy
        self.add_note(" ".join(part for part in (reason, remedy) if part))

    def __str__(self) -> str:
        return "The accounts cannot be reached now; try again later."


class EngineError(EmbedEnvError):
    """Base of what the engine refuses to run."""


class SourceError(EngineError):
    """What was to be run is refused: ``field`` is what was wrong, ``reason`` why and what is allowed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class MissingToolchainError(EngineError):
    """The room has no ``missing``, which ``language`` needs.

    ``packages`` names, by package manager, what brings it.
    """

    def __init__(
        self, language: str, missing: tuple[str, ...], packages: Mapping[str, tuple[str, ...]]
    ) -> None:
        super().__init__(language, missing, packages)
        self.language = language
        self.missing = missing
        self.packages = packages

    def __str__(self) -> str:
        brings = "; ".join(
            f"{manager}: {' '.join(names)}" for manager, names in self.packages.items() if names
        )
        return (
            f"This room cannot run {self.language}: it has no {' and no '.join(self.missing)}. "
            f"To be installed on its machine or image ({brings or 'no package is known'})."
        )


class SessionError(EngineError):
    """A language session cannot take this run; ``str()`` says why."""


class RateLimitedError(EngineError):
    """An account asks for more runs than it may; after ``retry_after_s`` seconds the next one is taken."""

    def __init__(self, limit: int, retry_after_s: float) -> None:
        super().__init__(limit, retry_after_s)
        self.limit = limit
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"At most {self.limit} runs a minute are taken; try again in {self.retry_after_s:.1f} s."


class CodeBlockedError(EngineError):
    """A rule of the gateway recognised something in the code; nothing was run."""

    def __init__(self, rule: str, message: str, line: int) -> None:
        super().__init__(rule, message, line)
        self.rule = rule
        self.message = message
        self.line = line

    def __str__(self) -> str:
        return f"Not run, because of the rule {self.rule} (line {self.line}): {self.message}"


class UnknownSessionError(EngineError):
    """An account has no engine session of this name (any more)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"There is no session {self.name!r}, or it has ended; its next run begins a new one."


class ConnectionLostError(EmbedEnvError):
    """The client gave up reconnecting; ``last_n`` is the last event number it has."""

    def __init__(self, reason: str, last_n: int = 0) -> None:
        super().__init__(reason, last_n)
        self.reason = reason
        self.last_n = last_n

    def __str__(self) -> str:
        return f"The connection to the room was lost and could not be restored: {self.reason}"
