"""Which headers pass between a browser on this server's origin and a program of a room.

A preview is served from the origin of the Jupyter server. So nothing that a browser or a
front proxy adds for that server reaches the program, and nothing of the program's
answer may hold for the whole origin: cookies, storage, transport, workers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from embedenv_jupyter.previews.links import Place

SANDBOX = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"

_HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"]
)
_KEPT_FROM_THE_PROGRAM = re.compile(
    r"cookie2?|authorization|proxy-.*|x-xsrftoken|referer|origin|host|expect|content-length|accept-encoding"
    r"|forwarded|x-forwarded-.*|x-real-ip|x-scheme|via|sec-websocket-.*|service-worker.*"
    # What front proxies say of who has logged in there.
    r"|remote-.*|x-remote-.*|x-auth-.*|x-amzn-.*|cf-.*|x-goog-.*|x-ms-.*|x-authentik-.*|x-pomerium-.*|x-jupyter.*"
)
_KEPT_FROM_THE_BROWSER = re.compile(
    r"set-cookie2?|clear-site-data|strict-transport-security|alt-svc|public-key-pins.*|expect-ct|nel|report-to"
    r"|reporting-endpoints|service-worker-allowed|www-authenticate|proxy-.*|referrer-policy|x-frame-options|link"
    r"|access-control-.*|cross-origin-resource-policy|accept-ch|critical-ch|origin-agent-cluster|set-login"
    r"|content-location|activate-storage-access|speculation-rules"
)
_REPAIRED_AWAY = frozenset(
    ["content-length", "content-md5", "digest", "repr-digest", "content-digest", "accept-ranges"]
)
"""What no longer holds of a body that was repaired."""

Headers = list[tuple[str, str]]


def _without_hops(headers: Iterable[tuple[str, str]]) -> Headers:
    pairs = list(headers)
    named = {
        name.strip().lower()
        for key, value in pairs
        if key.lower() == "connection"
        for name in value.split(",")
    }
    return [(name, value) for name, value in pairs if name.lower() not in _HOP_BY_HOP | named]


def to_program(
    headers: Iterable[tuple[str, str]], *, port: int, host: str, scheme: str, prefix: str
) -> Headers:
    """Return the headers of a request as the program gets them: it is asked as ``localhost``."""
    pairs = list(headers)
    passed = [pair for pair in _without_hops(pairs) if not _KEPT_FROM_THE_PROGRAM.fullmatch(pair[0].lower())]
    own = f"http://localhost:{port}"
    sent_from = next((value for name, value in pairs if name.lower() == "origin"), None)
    if sent_from is not None:
        # A sandboxed page has the origin "null"; to the program it is its own page.
        passed.append(("Origin", own if sent_from in ("null", f"{scheme}://{host}") else sent_from))
    return [
        ("Host", own.removeprefix("http://")),
        *passed,
        ("Accept-Encoding", "identity"),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Proto", scheme),
        ("X-Forwarded-Prefix", prefix),
    ]


def to_browser(headers: Iterable[tuple[str, str]], place: Place, *, is_repaired: bool) -> Headers:
    """Return the headers of an answer as the browser gets them."""
    passed: Headers = []
    for name, value in _without_hops(headers):
        lower = name.lower()
        if _KEPT_FROM_THE_BROWSER.fullmatch(lower) or (is_repaired and lower in _REPAIRED_AWAY):
            continue
        if lower == "location":
            value = place.moved(value)
        elif lower == "refresh":
            before, equals, link = value.partition("=")
            value = before + equals + place.moved(link)
        passed.append((name, value.replace("\t", " ")))
    return [*passed, *OWN]


OWN: Headers = [
    ("Content-Security-Policy", SANDBOX),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
    # A sandboxed page has an opaque origin: to a browser, its own server is another one. What may read
    # it needs the address, and whoever has that needs no browser. No cookie ever goes along.
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
]


def preflight(headers: Iterable[tuple[str, str]]) -> Headers | None:
    """Return what a browser is told that asks whether a page may send a request; ``None``: it does not ask.

    The program is not asked: its own pages never need to.
    """
    asked = {name.lower(): value for name, value in headers}
    if "origin" not in asked or "access-control-request-method" not in asked:
        return None
    return [
        *OWN,
        ("Access-Control-Allow-Methods", asked["access-control-request-method"]),
        ("Access-Control-Allow-Headers", asked.get("access-control-request-headers", "*")),
        ("Access-Control-Max-Age", "600"),
    ]


def target_of(path: str, query: str) -> str:
    """Return what is asked of the program: without a ``token``, by which Jupyter lets people in."""
    kept = [
        pair for pair in query.split("&") if not any(name == "token" for name, _ in parse_qsl(pair, True))
    ]
    return path + ("?" + "&".join(kept) if kept and query else "")
