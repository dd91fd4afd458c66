"""Which dialect a gateway speaks: ours, with rooms, or only the published Engine frames."""

from __future__ import annotations

import asyncio
import http.client
import json
import urllib.error
import urllib.request
from typing import Final, Literal

from embedenv_jupyter.client.address import engine_endpoint, health_url
from embedenv_jupyter.client.dialling import PASSING_STATUSES
from embedenv_jupyter.errors import ConnectionLostError

Dialect = Literal["rooms", "engine"]

TIMEOUT_S: Final = 10.0
"""How long a gateway may be silent before nothing is known about it."""

_MAX_ANSWER_BYTES: Final = 64 << 10
_SAYS_WITH: Final = {"ok": "tier", "unavailable": "reason"}
"""What our health page says with each status."""


async def dialect_of(url: str) -> Dialect:
    """Ask the gateway at ``url``, written as in ``EMBEDENV_URL``; no key is sent.

    A gateway of ours answers ``embedenv/health``, also when it cannot open a room now.
    Whoever answers anything else is taken for one that speaks the Engine frames.

    Raises:
        AddressError: the address cannot be used.
        ConnectionLostError: nobody answered, or only to say "later": nothing is known.
    """
    address = health_url(url)
    is_loopback = engine_endpoint(url, {}).is_loopback
    status, body = await asyncio.to_thread(_get, address, is_loopback)
    if _is_ours(body):
        return "rooms"
    if status in PASSING_STATUSES or status in (502, 503, 504):
        raise ConnectionLostError(f"{address} answers with HTTP status {status}")
    return "engine"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        """Take a redirect as the answer: our own health page has none."""


def _get(address: str, is_loopback: bool) -> tuple[int, bytes]:
    # A proxy is for the world outside; it could not reach this machine's loopback.
    proxies = [urllib.request.ProxyHandler({})] if is_loopback else []
    opener = urllib.request.build_opener(_NoRedirect, *proxies)
    try:
        with opener.open(address, timeout=TIMEOUT_S) as response:
            return response.status, response.read(_MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read(_MAX_ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", "") or exc
        raise ConnectionLostError(f"{address} cannot be reached ({reason})") from exc


def _is_ours(body: bytes) -> bool:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(found, dict):
        return False
    field = _SAYS_WITH.get(str(found.get("status")), "")
    return isinstance(found.get(field), str)
