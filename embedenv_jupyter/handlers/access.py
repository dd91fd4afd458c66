"""Who asks: a user of this Jupyter server, or somebody with a key of a room or of an account.

Our own routes take either. A key comes in the ``Authorization: Bearer`` header,
which no page can make a browser send, so such a request needs no other proof;
one that lives on Jupyter's login is subject to Jupyter's own checks. It is a join
key, an API key, a pair ``PUBLIC:SECRET``, or the key of this very gateway, which
programs that the server started find in a file (:mod:`embedenv_jupyter.client.gateway_file`).

A browser that came in with a join key has a pass instead, in a cookie (:mod:`.passes`).
Without a key in the header it goes before the login: who came in by a join key is
what that key says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async
from tornado.web import HTTPError

from embedenv_jupyter.accounts import LOCAL_ACCOUNT, Account
from embedenv_jupyter.errors import AuthenticationError, EmbedEnvError, UnknownKeyError, UnknownRoomError
from embedenv_jupyter.gateway import Gateway
from embedenv_jupyter.handlers.problems import ProblemError, problem_of
from embedenv_jupyter.rooms.members import Role, Visitor
from embedenv_jupyter.rooms.passes import Pass
from embedenv_jupyter.rooms.room import Room

MAX_BODY_BYTES = 1 << 20
RESOURCE = "embedenv"
GUEST = "guest"
DEFAULT_COLOUR = "#6366f1"
BUSY_RETRY_S = 1.0
"""When to ask again, where nobody knows better."""

LOCAL = "local"
"""The user behind a program of this machine that has the gateway's own key."""

T = TypeVar("T")


@dataclass(frozen=True)
class Principal:
    """Who asks, and as what: the role is for one room, or what an account may do with its own rooms."""

    user: str
    role: Role
    account: Account | None = None
    colour: str = DEFAULT_COLOUR
    key: str = field(default="", repr=False)
    """The join key that let them in."""
    identity: str = ""
    """What tells that two connections are one person's: a pass, or a user of the Jupyter server."""
    is_program: bool = False
    """Whether it has this gateway's own key, as kernels have that the server started."""
    login: str = ""
    """The user of the Jupyter server who asks, where one does."""

    @property
    def owner(self) -> str:
        """Who somebody is when they come back: an account, a pass, or all who have the same join key."""
        if self.account is not None:
            return f"account {self.account.id}"
        return self.identity or f"key {self.key}"

    @property
    def visitor(self) -> Visitor:
        """Who this is to a room."""
        return Visitor(
            self.user, self.colour, self.role, self.key, self.identity, self.is_program, self.login
        )  # fmt: skip


def bearer(handler: Any) -> str | None:
    """Return the key that came in the ``Authorization`` header."""
    kind, _, key = handler.request.headers.get("Authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" and key.strip() else None


def pass_cookie(room_id: str) -> str:
    """Return the name of the cookie that holds the pass of a room."""
    return f"embedenv-pass-{room_id}"


def pass_of(handler: Any, room: Room) -> Pass | None:
    """Return the pass of this room that the browser has, if it is still good."""
    secret = handler.get_cookie(pass_cookie(room.id))
    return room.people.passes.find(secret, time.time()) if secret else None


def principal_of_pass(held: Pass, login: str = "") -> Principal:
    """Return who came in with a pass, as which user of the server if they are one."""
    return Principal(
        held.user, held.role, colour=held.colour, key=held.key, identity=held.identity, login=login
    )


async def principal_of(handler: Any, gateway: Gateway, room: Room | None, action: str) -> Principal:
    """Find out who asks for something of a room, or, without one, of the gateway.

    Raises:
        ProblemError: nobody who may; 401 without any proof, 403 with one that is not enough.
    """
    user, key = handler.current_user, bearer(handler)
    if room is not None and key is None and (held := pass_of(handler, room)) is not None:
        return principal_of_pass(held, user.username if user else "")
    if user:
        if not await ensure_async(handler.authorizer.is_authorized(handler, user, action, RESOURCE)):
            raise ProblemError(403, f"This user may not {action} rooms on this server.", "NotAuthorized")
    elif key is None:
        raise ProblemError(
            401, "Log in, or send a join key or an API key as `Authorization: Bearer KEY`.", "NoCredentials"
        )
    if room is not None and key is not None:
        name = handler.request.headers.get("X-Embedenv-User", GUEST)[:64]
        try:
            return Principal(name, room.people.keys.redeem(key, time.time()).role, key=key)
        except UnknownKeyError:
            pass
    owner = _local_principal(user) if user else await _principal_of_key(gateway, key or "")
    if room is not None and owner.account is not None and room.account != owner.account.id:
        raise problem_of(UnknownRoomError(room.id))  # that there is such a room is not theirs to know
    return owner


def _local_principal(user: Any) -> Principal:
    """Return a user of this Jupyter server, who owns the rooms of the local account."""
    return Principal(
        user.display_name or user.username, Role.OWN, LOCAL_ACCOUNT, user.color or DEFAULT_COLOUR,
        identity=f"user {user.username}", login=user.username,
    )  # fmt: skip


async def _principal_of_key(gateway: Gateway, key: str) -> Principal:
    """Find out whose account a key stands for.

    Raises:
        ProblemError: nobody's.
    """
    try:
        account = await account_of_key(gateway, key)
    except AuthenticationError as exc:
        raise problem_of(exc) from exc
    name = LOCAL if account.id == LOCAL_ACCOUNT.id else account.name or GUEST
    return Principal(name, Role.OWN, account, is_program=gateway.is_local_key(key))


async def account_of_key(gateway: Gateway, key: str) -> Account:
    """Return the account of an API key, of a pair ``PUBLIC:SECRET``, or of this gateway's own key.

    Raises:
        AuthenticationError: it is nobody's.
    """
    if gateway.is_local_key(key):
        return LOCAL_ACCOUNT
    public, is_pair, secret = key.partition(":")
    if is_pair:
        return await gateway.accounts.authenticate(public, secret)
    return await gateway.accounts.authenticate_api_key(key)


async def entered(handler: Any, gateway: Gateway, room_id: str, action: str) -> tuple[Room, Principal]:
    """Return an open room, and who asks for something of it.

    Who does not prove who they are does not learn whether there is such a room.

    Raises:
        ProblemError: nobody who may.
        UnknownRoomError: there is no such room.
    """
    room = gateway.rooms.find(room_id)
    if room is not None and room.end_reason is not None:
        room = None
    who = await principal_of(handler, gateway, room, action)
    if room is None:
        raise UnknownRoomError(room_id)
    return room, who


@dataclass(frozen=True)
class Sight:
    """Which rooms somebody may see: those of an account, and those that the browser has passes for."""

    account: Account | None
    passes: Mapping[str, str] = field(repr=False)
    """The secret of each, by the room's id."""

    def role_in(self, room: Room) -> Role | None:
        """Return what they are in a room; ``None`` where it is not theirs to see, or nobody's to look at."""
        if not room.is_listed:
            return None
        secret = self.passes.get(room.id)
        held = room.people.passes.find(secret, time.time()) if secret else None
        if held is not None:
            return held.role
        return Role.OWN if self.account is not None and room.account == self.account.id else None


async def sight_of(handler: Any, gateway: Gateway) -> Sight:
    """Find out which rooms somebody may see.

    Raises:
        ProblemError: it is nobody who may see any.
    """
    prefix = pass_cookie("")
    passes = {
        name.removeprefix(prefix): morsel.value
        for name, morsel in handler.cookies.items() if name.startswith(prefix)
    }  # fmt: skip
    if bearer(handler) is not None:
        passes = {}
    try:
        return Sight((await principal_of(handler, gateway, None, "read")).account, passes)
    except ProblemError:
        sight = Sight(None, passes)
        if not any(sight.role_in(room) for room in gateway.rooms):
            raise
        return sight


class OwnHandler(APIHandler):
    """Base of our own REST routes. Errors of ours become answers; verbs call :meth:`principal` first."""

    def initialize(self, *, gateway: Gateway) -> None:
        self.gateway = gateway

    def check_xsrf_cookie(self) -> None:
        """A key in a header is proof enough that the page of somebody else did not send this."""
        # Tornado calls this before anybody knows who asks; Jupyter calls it again when that is known.
        is_known = hasattr(self, "_jupyter_current_user")
        if bearer(self) is None or (is_known and self.current_user):
            super().check_xsrf_cookie()

    async def prepare(self) -> None:  # type: ignore[override]
        await super().prepare()
        try:
            await self.gateway.ready()
        except EmbedEnvError as exc:
            raise problem_of(exc) from exc

    async def principal(self, action: str = "write") -> Principal:
        """Return who asks for something of the gateway.

        Raises:
            ProblemError: nobody who may.
        """
        return await principal_of(self, self.gateway, None, action)

    async def entered(self, room_id: str, action: str = "write") -> tuple[Room, Principal]:
        """Return an open room and who asks for something of it; raises what :func:`entered` does."""
        return await entered(self, self.gateway, room_id, action)

    def body(self, kind: type[T]) -> T:
        """Read the JSON body; an empty one is an empty object.

        Raises:
            ProblemError: naming what is wrong with it.
        """
        raw = self.request.body
        if len(raw) > MAX_BODY_BYTES:
            raise ProblemError(
                413, f"The body has {len(raw)} bytes, {MAX_BODY_BYTES} are allowed.", "TooLarge"
            )
        try:
            return msgspec.json.decode(raw or b"{}", type=kind)
        except msgspec.MsgspecError as exc:
            raise ProblemError(400, f"The body is not right: {exc}", "BadRequest") from exc

    def answer(self, value: Any, status: int = 200) -> None:
        """Send JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(value))

    def advise(self, status: int, retry_after_s: float = BUSY_RETRY_S) -> None:
        """Set the headers that an answer with this status has to have (RFC 9110, section 15)."""
        if status == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        elif status == 405:
            verbs = [verb for verb in self.SUPPORTED_METHODS if type(self).__dict__.get(verb.lower())]
            self.set_header("Allow", ", ".join(verbs))
        elif status in (429, 503):
            self.set_header("Retry-After", str(math.ceil(max(1.0, retry_after_s))))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Say expected refusals in one line; everything else with its traceback."""
        if isinstance(value, EmbedEnvError) and problem_of(value).status_code < 500:
            self.log.info("refused %s %s: %s", self.request.method, self.request.path, value)
            return
        super().log_exception(typ, value, tb)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Send the status that an error of ours stands for."""
        exc = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(exc, EmbedEnvError):
            problem = problem_of(exc)
            kwargs["exc_info"] = (type(problem), problem, None)
            status_code = problem.status_code
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write ``{"message", "reason"}``, as Jupyter's own API does."""
        exc = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(exc, ProblemError):
            content = {"message": exc.message, "reason": exc.problem}
        elif isinstance(exc, HTTPError):
            content = {"message": exc.log_message or exc.reason or self._reason, "reason": "HTTPError"}
        else:
            content = {"message": "The gateway failed; its log says why.", "reason": "InternalError"}
        self.advise(status_code)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(content))
