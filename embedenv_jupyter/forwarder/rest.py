"""REST of a gateway, as far as a forwarder needs it: rooms and their kernels.

The standard library's client in a thread: there are two or three requests in the
life of a kernel, and no other client starts as fast.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from embedenv_jupyter.client.address import Endpoint
from embedenv_jupyter.client.refusal import RefusedError
from embedenv_jupyter.errors import ConnectionLostError

TIMEOUT_S: Final = 60.0
MAX_ANSWER_BYTES: Final = 8 << 20


@dataclass(frozen=True)
class GatewayAddress:
    """A gateway and the key that lets us in.

    ``url`` is the base URL of the server. ``certificate`` is a file with the only
    certificate that the server may have; "" leaves that to the system.
    """

    url: str
    key: str = field(repr=False)
    certificate: str = ""

    def with_key(self, key: str) -> GatewayAddress:
        return replace(self, key=key)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def tls(self) -> ssl.SSLContext | None:
        """Return how the server proves who it is, where that is not as usual.

        Raises:
            RefusedError: the certificate cannot be read.
        """
        if not self.certificate:
            return None
        try:
            context = ssl.create_default_context(cafile=self.certificate)
        except OSError as exc:
            raise RefusedError(f"The certificate {self.certificate} cannot be used: {exc}") from exc
        context.check_hostname = False  # it is this very certificate, whatever name is in it
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def endpoint(self, path: str) -> Endpoint:
        """Return the WebSocket below ``embedenv/``."""
        return Endpoint(f"ws{self.url.removeprefix('http')}embedenv/{path}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the key is for this server."""

    def redirect_request(self, *args: Any) -> None:
        return None


async def call(gateway: GatewayAddress, method: str, path: str, body: Any = None) -> Any:
    """Send one request for what is below ``embedenv/``; return the answer's JSON.

    Raises:
        ConnectionLostError: nobody answers there, or only a failing server.
        RefusedError: the server said no; ``code`` is the HTTP status.
    """
    return await asyncio.to_thread(_call, gateway, method, path, body)


def _call(gateway: GatewayAddress, method: str, path: str, body: Any) -> Any:
    url = f"{gateway.url}embedenv/{path}"
    data = None if body is None else msgspec.json.encode(body)
    headers = {**gateway.headers, "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310 (base_url)
    try:
        with _opener(gateway).open(request, timeout=TIMEOUT_S) as response:
            answer = response.read(MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as exc:
        with exc:
            raise RefusedError(_reason(exc, url), exc.code) from exc
    except OSError as exc:
        reason = getattr(exc, "reason", exc)
        raise ConnectionLostError(f"{gateway.url} does not answer: {reason}") from exc
    try:
        return msgspec.json.decode(answer) if answer else None
    except msgspec.MsgspecError as exc:
        raise RefusedError(f"{gateway.url} is no gateway: it answers in another language.") from exc


def _opener(gateway: GatewayAddress) -> urllib.request.OpenerDirector:
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if (tls := gateway.tls()) is not None:
        handlers.append(urllib.request.HTTPSHandler(context=tls))
    if gateway.endpoint("").is_loopback:
        handlers.append(urllib.request.ProxyHandler({}))  # a proxy could not reach this machine's loopback
    return urllib.request.build_opener(*handlers)


def _reason(exc: urllib.error.HTTPError, url: str) -> str:
    try:
        message = msgspec.json.decode(exc.read(MAX_ANSWER_BYTES), type=dict[str, Any]).get("message")
    except (msgspec.MsgspecError, OSError):
        message = None
    return message or f"{urlsplit(url).netloc} answered {exc.code} {exc.reason}."
