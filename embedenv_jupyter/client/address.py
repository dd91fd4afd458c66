"""Where to connect and with which keys, from arguments or from the environment.

An address may be the root of a server (``https://host/base/``), the WebSocket
endpoint itself (``wss://host/ws/spaces/x/``) or a bare host. Secrets appear in
no ``repr``, no log line and no error text.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit, urlunsplit

from embedenv_jupyter.client.refusal import AddressError

URL_VARIABLE = "EMBEDENV_URL"
PUBLIC_KEY_VARIABLE = "EMBEDENV_PUBLIC_KEY"
SECRET_KEY_VARIABLE = "EMBEDENV_SECRET_KEY"
JOIN_KEY_VARIABLE = "EMBEDENV_JOIN_KEY"
API_KEY_VARIABLE = "EMBEDENV_API_KEY"
ROOM_VARIABLE = "EMBEDENV_ROOM"
"""Tells the forwarder which room of the server that started it a notebook has chosen."""

DEFAULT_SPACE = "defoult"
"""The space that the published client names, in its own spelling."""

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_PAGES = ("lab", "tree", "notebooks", "doc")
"""First path segments of Jupyter's own pages: people paste what the browser shows."""


@dataclass(frozen=True)
class Endpoint:
    """The WebSocket address of a space; ``str()`` leaves out the query, which may hold a token."""

    url: str = field(repr=False)

    def __str__(self) -> str:
        return urlunsplit(urlsplit(self.url)._replace(query="", fragment=""))

    @property
    def is_loopback(self) -> bool:
        return _is_loopback(urlsplit(self.url).hostname or "")

    @property
    def is_encrypted(self) -> bool:
        return urlsplit(self.url).scheme == "wss"


@dataclass(frozen=True)
class Keys:
    """How to get in: the pair of an account makes a room, a join key enters one."""

    public_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    join_key: str = field(default="", repr=False)

    @property
    def opens_new_room(self) -> bool:
        return not self.join_key


def endpoint(address: str | None, environment: Mapping[str, str], space: str = DEFAULT_SPACE) -> Endpoint:
    """Turn what the user wrote into the address of the WebSocket.

    Raises:
        AddressError: there is no address, or it is none of the accepted forms.
    """
    parts = _split(_written(address, environment))
    if "/ws/spaces/" in parts.path:
        path = parts.path if parts.path.endswith("/") else parts.path + "/"
        return Endpoint(urlunsplit(parts._replace(path=path, fragment="")))
    if not space or any(character in space for character in "/?#% "):
        raise AddressError(f"{space!r} is not a space: one segment of a path, without / ? # % and blanks")
    path = f"{_base(parts.path)}ws/spaces/{space}/"
    return Endpoint(urlunsplit(parts._replace(path=path, query="", fragment="")))


def base_url(address: str) -> str:
    """Turn any accepted form of an address into the base URL of the server, for REST: ``http(s)://host/base/``.

    Raises:
        AddressError: it is none of the accepted forms.
    """
    parts = _split(address.strip())
    path = parts.path.partition("/ws/spaces/")[0] + "/" if "/ws/spaces/" in parts.path else parts.path
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, _base(path), "", ""))


def engine_endpoint(address: str | None, environment: Mapping[str, str]) -> Endpoint:
    """Turn what the user wrote into the address of the Engine protocol's WebSocket.

    Raises:
        AddressError: there is no address, or it is none of the accepted forms.
    """
    parts = _split(_written(address, environment))
    if parts.path.endswith("/ws"):
        return Endpoint(urlunsplit(parts._replace(fragment="")))
    path = f"{_gateway_base(parts.path)}ws"
    return Endpoint(urlunsplit(parts._replace(path=path, query="", fragment="")))


def health_url(address: str) -> str:
    """Return where a gateway of ours says that it is one; the query, which may hold a token, is left out.

    Raises:
        AddressError: the address is none of the accepted forms.
    """
    parts = _split(_written(address, {}))
    scheme = "https" if parts.scheme == "wss" else "http"
    path = f"{_gateway_base(parts.path)}embedenv/health"
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def keys(
    public_key: str | None, secret_key: str | None, join: str | None, environment: Mapping[str, str]
) -> Keys:
    """Choose the keys: arguments first, and a pair given as arguments beats a join key of the environment.

    Raises:
        AddressError: neither a join key nor a whole pair is there.
    """
    if join:
        return Keys(join_key=join)
    public = public_key or environment.get(PUBLIC_KEY_VARIABLE, "")
    secret = secret_key or environment.get(SECRET_KEY_VARIABLE, "")
    from_environment = environment.get(JOIN_KEY_VARIABLE, "")
    if from_environment and not (public_key or secret_key):
        return Keys(join_key=from_environment)
    if not (public and secret):
        missing = "public_key" if not public else "secret_key"
        raise AddressError(
            f"{missing} is missing: give public_key and secret_key to make a room or join to enter one,"
            f" or set {PUBLIC_KEY_VARIABLE} and {SECRET_KEY_VARIABLE}, or {JOIN_KEY_VARIABLE}"
        )
    return Keys(public_key=public, secret_key=secret)


def _written(address: str | None, environment: Mapping[str, str]) -> str:
    text = (address or environment.get(URL_VARIABLE, "")).strip()
    if not text:
        raise AddressError(f"no address was given and {URL_VARIABLE} is not set")
    return text


def _split(text: str) -> SplitResult:
    scheme, separator, _ = text.partition("://")
    try:
        if not separator:
            bare = urlsplit(f"//{text}")
            parts = bare._replace(scheme="ws" if _is_loopback(bare.hostname or "") else "wss")
        else:
            parts = urlsplit(text)
            if parts.scheme not in _SCHEMES:
                raise AddressError(f"{scheme!r} is not a scheme for a room; use http, https, ws or wss")
            parts = parts._replace(scheme=_SCHEMES[parts.scheme])
        _ = parts.port
    except AddressError:
        raise
    except ValueError as exc:
        raise AddressError(f"the address cannot be read: {exc}") from None
    if not parts.hostname:
        raise AddressError("the address names no host")
    if parts.username is not None or parts.password is not None:
        raise AddressError("an address must not carry a user or password; keys have their own arguments")
    return parts


def _base(path: str) -> str:
    """The base URL of the server, from the path of any of Jupyter's pages."""
    segments = [segment for segment in path.split("/") if segment]
    for index, segment in enumerate(segments):
        if segment in _PAGES:
            segments = segments[:index]
            break
    return "/" + "".join(f"{segment}/" for segment in segments)


def _gateway_base(path: str) -> str:
    """The same, where the path may also be that of a protocol's WebSocket."""
    base, is_spaces, _ = path.partition("/ws/spaces/")
    if not is_spaces:
        base = path.rstrip("/")
        if not base.endswith("/ws"):
            return _base(path)
    return _base(base.removesuffix("/ws").removesuffix("/embedenv"))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
