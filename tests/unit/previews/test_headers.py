"""Which headers pass, and which do not."""

from __future__ import annotations

import pytest

from embedenv_jupyter.previews.headers import preflight, target_of, to_browser, to_program
from embedenv_jupyter.previews.links import Place

PLACE = Place("/a/b", 5000, "cap")


def sent(*pairs: tuple[str, str]) -> dict[str, str]:
    return dict(to_program(pairs, port=5000, host="hub.example", scheme="https", prefix="/x/previews/cap"))


def shown(*pairs: tuple[str, str], is_repaired: bool = False) -> dict[str, str]:
    return dict(to_browser(pairs, PLACE, is_repaired=is_repaired))


@pytest.mark.parametrize(
    "name",
    """
    Cookie COOKIE Authorization Proxy-Authorization X-XSRFToken Referer X-Forwarded-For X-Forwarded-User
    Forwarded X-Real-IP Remote-User X-Remote-Groups X-Amzn-Oidc-Data Cf-Ray X-Goog-Iap-Jwt-Assertion
    X-MS-Token-Aad-Id-Token X-Auth-Request-Email Sec-WebSocket-Key Expect Connection
    Keep-Alive TE Upgrade Transfer-Encoding Content-Length Via
    """.split(),
)  # fmt: skip
def test_header_is_kept_from_the_program(name: str) -> None:
    assert name.lower() not in {key.lower() for key in sent((name, "secret"))}


@pytest.mark.parametrize(
    "name", """
    Accept Accept-Language Content-Type Range If-None-Match User-Agent X-CSRFToken HX-Request Last-
    Event-ID Sec-Fetch-Mode X-Custom
    """.split(),
)  # fmt: skip
def test_header_reaches_the_program(name: str) -> None:
    assert sent((name, "value"))[name] == "value"


def test_header_that_is_named_hop_by_hop_stays_here() -> None:
    assert "X-Hop" not in sent(("Connection", "close, x-hop"), ("X-Hop", "1"))
    assert "X-Hop" not in shown(("connection", "X-HOP"), ("X-Hop", "1"))


@pytest.mark.parametrize(
    ("origin", "seen"),
    [("null", "http://localhost:5000"), ("https://hub.example", "http://localhost:5000"),
     ("https://evil", "https://evil")],
)  # fmt: skip
def test_origin_as_the_program_would_see_it(origin: str, seen: str) -> None:
    assert sent(("Origin", origin))["Origin"] == seen


@pytest.mark.parametrize(
    "name",
    """
    Set-Cookie Clear-Site-Data Strict-Transport-Security Alt-Svc NEL Report-To X-Frame-Options
    Service-Worker-Allowed WWW-Authenticate Access-Control-Allow-Credentials Link Connection
    """.split(),
)  # fmt: skip
def test_header_is_kept_from_the_browser(name: str) -> None:
    assert name not in shown((name, "value"))


def test_policy_of_the_program_is_joined_by_ours() -> None:
    pairs = to_browser([("Content-Security-Policy", "default-src 'self'")], PLACE, is_repaired=False)
    policies = [value for name, value in pairs if name == "Content-Security-Policy"]
    assert policies[0] == "default-src 'self'" and policies[1].startswith("sandbox ")
    assert "allow-same-origin" not in policies[1]


def test_length_holds_only_for_what_is_not_repaired() -> None:
    assert shown(("Content-Length", "5"))["Content-Length"] == "5"
    assert "Content-Length" not in shown(("Content-Length", "5"), is_repaired=True)


@pytest.mark.parametrize(
    ("value", "seen"), [("3; url=/x", "3; url=./../x"), ("3", "3"), ("0;URL=https://e/", "0;URL=https://e/")]
)  # fmt: skip
def test_refresh(value: str, seen: str) -> None:
    assert shown(("Refresh", value))["Refresh"] == seen


@pytest.mark.parametrize(
    ("query", "target"),
    [("", "/p"), ("a=1", "/p?a=1"), ("token=x", "/p"), ("a=%20&token=x&b", "/p?a=%20&b"),
     ("%74oken=x&c=1", "/p?c=1"), ("mytoken=1", "/p?mytoken=1"), ("token", "/p")],
)  # fmt: skip
def test_token_of_a_server_is_not_asked_for(query: str, target: str) -> None:
    assert target_of("/p", query) == target


def test_only_a_browser_s_question_is_answered_here() -> None:
    assert preflight([("Origin", "null")]) is None
    assert preflight([("Origin", "null"), ("Access-Control-Request-Method", "PUT")]) is not None
