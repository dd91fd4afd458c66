"""The server's own sockets of kernels, which tell who of its users sent what to a kernel in a room."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

import msgspec

from embedenv_jupyter.errors import RemoteProtocolError
from embedenv_jupyter.handlers.access import DEFAULT_COLOUR
from embedenv_jupyter.kernels import messages
from embedenv_jupyter.kernels.authors import Login, Senders
from embedenv_jupyter.protocols import kernels as protocol

SETTING: Final = "kernel_websocket_connection_class"
"""Where Jupyter's handler finds what serves a socket (``ServerApp.kernel_websocket_connection_class``)."""


class _Envelope(msgspec.Struct, frozen=True):
    """A message in Jupyter's older protocol, which is JSON, as far as its header goes."""

    header: messages.Header


_envelope = msgspec.json.Decoder(_Envelope)


def know_senders(settings: MutableMapping[str, Any], senders: Senders) -> None:
    """Have the server note who sends to kernels that are forwarded into rooms; all else stays as it was."""
    base = settings[SETTING]

    class NotingConnection(base):  # type: ignore[misc, valid-type]  # whatever the operator has chosen
        """One connection of one user."""

        def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
            if senders.watches(self.kernel_id):
                self._note(incoming_msg)
            super().handle_incoming_message(incoming_msg)

        def _note(self, message: str | bytes) -> None:
            header, user = _header_of(message), self.websocket_handler.current_user
            if user and header is not None:
                name, colour = user.display_name or user.username, user.color or DEFAULT_COLOUR
                senders.sent(self.kernel_id, header.msg_id, Login(user.username, name, colour))

    settings[SETTING] = NotingConnection


def _header_of(message: str | bytes) -> messages.Header | None:
    """Read a message's header; ``None`` where it cannot be read, which Jupyter says in its own way."""
    try:
        if isinstance(message, bytes):
            return messages.header_of(protocol.decode(message, protocol.CLIENT_CHANNELS))
        return _envelope.decode(message).header
    except (RemoteProtocolError, msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
