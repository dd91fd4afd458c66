"""The server's own sockets of kernels, which tell who of its users sent what to a kernel in a room."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, MutableMapping
from typing import Any, Final

from jupyter_server.services.kernels.connection import base as jupyter

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.handlers.access import DEFAULT_COLOUR
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.authors import Login, Senders
from embedenv_jupyter.protocols import kernels as protocol

log = logging.getLogger(__name__)

SETTING: Final = "kernel_websocket_connection_class"
"""Where Jupyter's handler finds what serves a socket (``ServerApp.kernel_websocket_connection_class``)."""

_from_v1: Callable[[Any], tuple[str, list[bytes]]] = jupyter.deserialize_msg_from_ws_v1
_from_binary: Callable[[bytes], dict[str, Any]] = jupyter.deserialize_binary_message


def know_senders(settings: MutableMapping[str, Any], senders: Senders) -> None:
    """Have the server note who sends to kernels that are forwarded into rooms; all else stays as it was."""
    base = settings[SETTING]

    class NotingConnection(base):  # type: ignore[misc, valid-type]  # whatever the operator has chosen
        """One connection of one user."""

        def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
            if senders.watches(self.kernel_id):
                try:
                    self._note(incoming_msg)
                except RemoteProtocolError as exc:
                    log.warning("a message to kernel %s is not passed on: %s", self.kernel_id, exc)
                    self.websocket_handler.close(exc.code, exc.reason)
                    return
            super().handle_incoming_message(incoming_msg)

        def _note(self, message: str | bytes) -> None:
            user = self.websocket_handler.current_user
            name, colour = user.display_name or user.username, user.color or DEFAULT_COLOUR
            msg_id = _id_of(message, self.subprotocol)
            senders.sent(self.kernel_id, msg_id, Login(user.username, name, colour))

    settings[SETTING] = NotingConnection


def _id_of(message: str | bytes, subprotocol: str | None) -> str:
    """Read the id of a message with Jupyter's own functions: who reads it in another way can be deceived.

    Returns "" where there is none, as :func:`~embedenv_jupyter.kernels.messages.id_of` does when it arrives.

    Raises:
        RemoteProtocolError: it is no message.
    """
    try:
        if subprotocol == protocol.V1:
            _, parts = _from_v1(message)
            return messages.id_of(tuple(parts))
        loaded = _from_binary(message) if isinstance(message, bytes) else json.loads(message)
        msg_id = loaded["header"]["msg_id"]
    except Exception as exc:  # whatever Jupyter raises, it sends nothing then
        raise RemoteProtocolError(f"this is no message for a kernel: {type(exc).__name__}") from exc
    return msg_id if isinstance(msg_id, str) else ""
