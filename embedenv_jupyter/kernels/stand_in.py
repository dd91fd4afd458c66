"""What is said in a kernel's place, into the kernel's log: just as a kernel would say it."""

from __future__ import annotations

import time
from typing import Any

from embedenv_jupyter.errors import EmbedEnvError
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.executions import Execution
from embedenv_jupyter.kernels.session import KernelSession
from embedenv_jupyter.protocols.kernels import Message
from embedenv_jupyter.rooms.events import KernelMessage
from embedenv_jupyter.rooms.log import Log


class StandIn:
    """Answers for one kernel; nothing after the end of its log."""

    def __init__(self, kernel_log: Log, room_id: str) -> None:
        self._log = kernel_log
        self._room_id = room_id

    def append(self, channel: str, parts: tuple[bytes, ...], to: str = "") -> None:
        """Put a message into the log, unless that has ended; ``to`` is the one session that gets it."""
        if not self._log.is_finished:
            self._log.append(KernelMessage(channel=channel, parts=parts, to=to, at=time.time()))

    def publish(self, msg_type: str, content: dict[str, Any], parent: bytes = b"{}", *, to: str = "") -> None:
        """Tell every client something, or one alone what others have nothing to do with."""
        self.append("iopub", messages.make("iopub", msg_type, content, parent=parent).parts, to=to)

    def reply(
        self, session: KernelSession, message: Message, header: messages.Header, content: dict[str, Any]
    ) -> None:
        """Answer a request."""
        kind, _, _ = header.msg_type.rpartition("_")
        reply = messages.make(message.channel, f"{kind}_reply", content, parent=message.parts[0])
        self.append(message.channel, reply.parts, to=session.id)

    def refuse(
        self, session: KernelSession, message: Message, header: messages.Header, exc: EmbedEnvError
    ) -> None:
        """Answer that something will not be done, and why."""
        name, parent, to = type(exc).__name__, message.parts[0], session.id
        error = messages.error_content(name, str(exc))
        self.publish("status", {"execution_state": "busy"}, parent, to=to)
        if header.msg_type.endswith("_request"):
            if header.msg_type == "execute_request":
                self.publish("error", error, parent, to=to)
            self.reply(session, message, header, {"status": "error", "execution_count": 0, **error})
        else:
            self.publish("stream", {"name": "stderr", "text": f"{exc}\n"}, parent, to=to)
        self.publish("status", {"execution_state": "idle"}, parent, to=to)

    def lost(self, execution: Execution, name: str, text: str) -> None:
        """Answer a cell that the kernel will not answer any more."""
        content = {"status": "error", "execution_count": 0, **messages.error_content(name, text)}
        metadata = {"embedenv": execution.receipt(self._room_id, "error")}
        reply = messages.make("shell", "execute_reply", content, parent=execution.header, metadata=metadata)
        self.append("shell", reply.parts, to=execution.session)
        self.publish("status", {"execution_state": "idle"}, execution.header)
