"""WebSockets to programs of a room, over a connection made inside it."""

from __future__ import annotations

import websockets
from websockets.asyncio.client import connect as connect_socket
from websockets.typing import Subprotocol

from embedenv_jupyter.errors import CloseCode, PreviewError
from embedenv_jupyter.previews.headers import Headers
from embedenv_jupyter.previews.upstream import connect
from embedenv_jupyter.sandbox.sandbox import Sandbox

MAX_MESSAGE_BYTES = 16 << 20
OPEN_TIMEOUT_S = 60.0
_SET_ANEW = frozenset(["host", "accept-encoding"])


async def open_socket(
    sandbox: Sandbox, port: int, target: str, headers: Headers, subprotocols: list[str]
) -> websockets.ClientConnection:
    """Open a WebSocket of a program.

    Raises:
        PreviewError: it refused, with its own status, or there is none to ask.
    """
    connection = await connect(sandbox, port)
    try:
        return await connect_socket(
            f"ws://localhost:{port}{target}",
            sock=connection,
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            additional_headers=[pair for pair in headers if pair[0].lower() not in _SET_ANEW],
            user_agent_header=None,
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=None,  # a program that computes for a minute is not gone
            max_size=MAX_MESSAGE_BYTES,
            max_queue=4,
        )
    except websockets.InvalidStatus as exc:
        status = exc.response.status_code
        raise PreviewError(status if status >= 400 else 502, f"The program on port {port} refused.") from exc
    except (websockets.WebSocketException, OSError, ValueError) as exc:
        connection.close()
        raise PreviewError(502, f"The program on port {port} opened no WebSocket.") from exc
    except TimeoutError as exc:
        raise PreviewError(504, f"The program on port {port} has not answered.") from exc


def close_code_for(program: websockets.ClientConnection) -> tuple[int, str]:
    """Return how the browser's side is to be closed after the program's."""
    code, reason = program.close_code, program.close_reason or ""
    if code == 1005:  # closed without a code (RFC 6455, section 7.4.1)
        return CloseCode.NORMAL, ""
    if code is None or code == 1006:
        return CloseCode.INTERNAL_ERROR, "the program has gone"
    return code, reason
