"""What a ``curl`` command may ask for: plain HTTP to a port of the same room.

The room's own network is all that the request can reach, so what is checked
here is what would turn one request into another: line ends in the target, in
names and in values of headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from msgspec import Raw

from embedenv_jupyter.protocols.faults import FrameError, explain, shown

MAX_URL_CHARS = 8 << 10
MAX_METHOD_CHARS = 32
MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 << 10
"""All names and values of one request together."""
MAX_PORT = 65535
DEFAULT_PORT = 80
HOSTS = ("localhost", "127.0.0.1", "[::1]")

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?:#.*)?", re.DOTALL
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:@]*)(?::(?P<port>[0-9]*))?")
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f]")
_VALUE_BREAKERS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all controls but the tab
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

_headers_decoder: msgspec.json.Decoder[dict[str, str] | None] = msgspec.json.Decoder(dict[str, str] | None)

_ALLOWED = "allowed is http://localhost:PORT/… (or 127.0.0.1 or [::1]), for programs of this room"


def parse_url(url: str) -> tuple[int, str]:
    """Return the port and the request target, which is kept as it was written.

    Raises:
        FrameError: it is not plain HTTP to this room.
    """
    if len(url) > MAX_URL_CHARS:
        raise FrameError(f"url is longer than {MAX_URL_CHARS} characters")
    parts = _URL.fullmatch(url)
    if parts is None or parts["scheme"].lower() != "http":
        what = "is no URL" if parts is None else f"has the scheme {shown(parts['scheme'])}"
        raise FrameError(f"url {shown(url)} {what}; {_ALLOWED}")
    return _port_of(parts["authority"], url), _target_of(parts["target"], url)


def _port_of(authority: str, url: str) -> int:
    if "@" in authority:
        # Not shown: what stands before the @ is likely a password.
        raise FrameError(f"url holds a user's name; send an Authorization header instead; {_ALLOWED}")
    place = _AUTHORITY.fullmatch(authority)
    if place is None or place["host"].lower() not in HOSTS:
        raise FrameError(f"url {shown(url)} names the host {shown(authority)}; {_ALLOWED}")
    digits = place["port"]
    port = int(digits) if digits and len(digits) <= 5 else 0 if digits else DEFAULT_PORT
    if not 1 <= port <= MAX_PORT:
        raise FrameError(f"url {shown(url)} has the port {shown(digits)}; ports are 1 to {MAX_PORT}")
    return port


def _target_of(target: str, url: str) -> str:
    if _UNSENDABLE.search(target):
        raise FrameError(f"url {shown(url)} holds a space or control character; write it as %20 and the like")
    if not target.startswith("/"):
        target = "/" + target
    try:
        # HTTP's request line is ASCII; what is not, is sent as browsers send it.
        return target if target.isascii() else quote(target, safe=_PRINTABLE)
    except UnicodeEncodeError:
        raise FrameError(f"url {shown(url)} holds half of a surrogate pair, which is no character") from None


def check_method(method: str) -> str:
    """Return a method as it is.

    Raises:
        FrameError: it is no token of HTTP.
    """
    if len(method) > MAX_METHOD_CHARS or not _TOKEN.fullmatch(method):
        raise FrameError(f"method {shown(method)} is no HTTP method; allowed is one word such as 'GET'")
    return method


def read_headers(raw: Raw) -> dict[str, str]:
    """Read the JSON of a request's headers, which nobody has looked at yet, and check them.

    Raises:
        FrameError: they are no object of texts, too large, or :func:`check_headers` says why.
    """
    # As JSON, a text takes six times its size at most.
    if len(raw) > 6 * MAX_HEADER_BYTES:
        raise FrameError(f"headers: {len(raw)} bytes are too many; at most {MAX_HEADER_BYTES} are allowed")
    try:
        return check_headers(_headers_decoder.decode(raw) or {})
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise FrameError(explain(exc, "headers")) from None


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers with their values' outer spaces cut off.

    Raises:
        FrameError: a name is no token, or a value would end its line.
    """
    if len(headers) > MAX_HEADERS:
        raise FrameError(f"headers: {len(headers)} are too many; at most {MAX_HEADERS} are allowed")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise FrameError(f"headers: {shown(name)} is no header's name, such as 'Content-Type'")
        if _VALUE_BREAKERS.search(value):
            raise FrameError(f"headers: the value of {shown(name)} holds a line end or control character")
        if not value.isascii() and re.search("[\ud800-\udfff]", value):
            raise FrameError(f"headers: the value of {shown(name)} holds half of a surrogate pair")
    total = sum(len(name) + len(value.encode()) for name, value in headers.items())
    if total > MAX_HEADER_BYTES:
        raise FrameError(f"headers: {total} bytes are too many; at most {MAX_HEADER_BYTES} are allowed")
    return {name: value.strip(" \t") for name, value in headers.items()}
