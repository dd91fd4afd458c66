"""How a program gets a room: ``connect`` for a block, ``open_room`` for a room with its own lifetime."""

from __future__ import annotations

import logging
import os
import random
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import ParamSpec

from embedenv_jupyter.client.address import DEFAULT_SPACE, Endpoint, endpoint, keys
from embedenv_jupyter.client.backoff import Retry
from embedenv_jupyter.client.dialling import Heartbeat, Transport
from embedenv_jupyter.client.flow import Buffering
from embedenv_jupyter.client.room import Room
from embedenv_jupyter.client.session import Identity, Session

log = logging.getLogger(__name__)

DEFAULT_USER = "python"
DEFAULT_COLOR = "#6366f1"
P = ParamSpec("P")

GREETING_S = 15.0
ANSWER_S = 180.0
"""Longer than a reconnection may take, so that an outage alone makes no answer late."""


async def open_room(
    url: str | None = None,
    *,
    public_key: str | None = None,
    secret_key: str | None = None,
    join: str | None = None,
    user: str = DEFAULT_USER,
    color: str = DEFAULT_COLOR,
    space: str = DEFAULT_SPACE,
    history: bool = False,
    retry: Retry | None = None,
    buffering: Buffering | None = None,
    heartbeat: Heartbeat | None = None,
    answer_s: float = ANSWER_S,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    environment: Mapping[str, str] | None = None,
    dice: Callable[[], float] | None = None,
) -> Room:
    """Make a room (with a pair of keys) or enter one (with a join key); the caller must ``close()`` it.

    What is not given is taken from ``EMBEDENV_URL``, ``EMBEDENV_PUBLIC_KEY``,
    ``EMBEDENV_SECRET_KEY`` and ``EMBEDENV_JOIN_KEY``. ``history`` replays what the
    room's log still has to somebody who joins. ``headers`` go with the HTTP
    request, for a hub or proxy before the server. ``environment`` and ``dice``
    stand in for ``os.environ`` and ``random.random``.

    Raises:
        AddressError: the address or the keys cannot be used.
        RefusedError: the server said no.
        UnreachableError: no connection came about.
    """
    environment = os.environ if environment is None else environment
    target = endpoint(url, environment, space)
    chosen = keys(public_key, secret_key, join, environment)
    warn_of_plain_text(target)
    identity = Identity(user, color)
    session = Session(chosen, identity, secrets.token_hex(8), history=history or chosen.opens_new_room)
    room = Room(
        transport_to(target, headers, tls, answer_s, heartbeat),
        session,
        retry=retry or Retry(),
        buffering=buffering or Buffering(),
        answer_s=answer_s,
        dice=dice or random.random,
    )
    await room.open()
    return room


def transport_to(
    target: Endpoint,
    headers: Mapping[str, str] | None,
    tls: ssl.SSLContext | None,
    answer_s: float,
    heartbeat: Heartbeat | None,
) -> Transport:
    """Return how a room or an engine is reached; a greeting is waited for no longer than an answer."""
    greeting_s = min(GREETING_S, answer_s)
    return Transport(target, headers or {}, tls, greeting_s=greeting_s, heartbeat=heartbeat or Heartbeat())


def warn_of_plain_text(target: Endpoint) -> None:
    """Say where keys go over a network unencrypted."""
    if not (target.is_encrypted or target.is_loopback):
        log.warning("the keys for %s go over the network unencrypted; use https or wss", target)


def _as_block(opener: Callable[P, Awaitable[Room]]) -> Callable[P, AbstractAsyncContextManager[Room]]:
    """The same arguments, for ``async with``."""

    @asynccontextmanager
    async def block(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Room]:
        room = await opener(*args, **kwargs)
        try:
            yield room
        finally:
            await room.close()

    wraps(opener)(block)
    return block


connect = _as_block(open_room)
"""Like :func:`open_room`, for ``async with``: leaves the room at the end of the block."""
