from __future__ import annotations

import pytest

from embedenv_jupyter.client.address import Endpoint, Keys, endpoint, engine_endpoint, health_url, keys
from embedenv_jupyter.client.refusal import AddressError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://localhost:8888", "ws://localhost:8888/ws/spaces/defoult/"),
        ("http://localhost:8888/", "ws://localhost:8888/ws/spaces/defoult/"),
        ("https://hub.example/user/ada/", "wss://hub.example/user/ada/ws/spaces/defoult/"),
        ("https://hub.example/user/ada", "wss://hub.example/user/ada/ws/spaces/defoult/"),
        ("http://localhost:8888/lab?token=abc", "ws://localhost:8888/ws/spaces/defoult/"),
        ("http://localhost:8888/base/lab/tree/a.ipynb", "ws://localhost:8888/base/ws/spaces/defoult/"),
        ("wss://embedenv.com/ws/spaces/defoult/", "wss://embedenv.com/ws/spaces/defoult/"),
        ("wss://embedenv.com/ws/spaces/other", "wss://embedenv.com/ws/spaces/other/"),
        ("ws://localhost:1/x/ws/spaces/y/?token=1", "ws://localhost:1/x/ws/spaces/y/?token=1"),
        ("localhost:8888", "ws://localhost:8888/ws/spaces/defoult/"),
        ("127.0.0.1", "ws://127.0.0.1/ws/spaces/defoult/"),
        ("[::1]:9", "ws://[::1]:9/ws/spaces/defoult/"),
        ("embedenv.com", "wss://embedenv.com/ws/spaces/defoult/"),
        ("  embedenv.com/base ", "wss://embedenv.com/base/ws/spaces/defoult/"),
    ],
)
def test_every_accepted_form_leads_to_the_space(given: str, expected: str) -> None:
    assert endpoint(given, {}).url == expected


@pytest.mark.parametrize(
    ("given", "socket", "health"),
    [
        ("wss://embedenv.com/ws", "wss://embedenv.com/ws", "https://embedenv.com/embedenv/health"),
        ("embedenv.com", "wss://embedenv.com/ws", "https://embedenv.com/embedenv/health"),
        ("ws://h/ws?k=1#x", "ws://h/ws?k=1", "http://h/embedenv/health"),
        ("https://h/b/embedenv/ws", "wss://h/b/embedenv/ws", "https://h/b/embedenv/health"),
        ("https://h/b/ws/", "wss://h/b/ws", "https://h/b/embedenv/health"),
        ("https://h/b/lab/tree/a.ipynb?token=1", "wss://h/b/ws", "https://h/b/embedenv/health"),
        ("wss://h/b/ws/spaces/defoult/", "wss://h/b/ws", "https://h/b/embedenv/health"),
        ("http://localhost:1/ws-team/ws", "ws://localhost:1/ws-team/ws",
         "http://localhost:1/ws-team/embedenv/health"),
        ("http://localhost:1/ws-team", "ws://localhost:1/ws-team/ws",
         "http://localhost:1/ws-team/embedenv/health"),
    ],
)  # fmt: skip
def test_the_same_forms_lead_to_the_engine_and_to_the_health_page(
    given: str, socket: str, health: str
) -> None:
    assert engine_endpoint(given, {}).url == socket
    assert health_url(given) == health


def test_the_environment_gives_the_address_and_an_argument_beats_it() -> None:
    environment = {"EMBEDENV_URL": "http://localhost:1/"}
    assert endpoint(None, environment).url == "ws://localhost:1/ws/spaces/defoult/"
    assert endpoint("http://localhost:2/", environment).url == "ws://localhost:2/ws/spaces/defoult/"


def test_the_space_can_be_chosen() -> None:
    assert endpoint("localhost", {}, "team").url == "ws://localhost/ws/spaces/team/"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("", "EMBEDENV_URL"),
        ("ftp://host/", "ftp"),
        ("https:///path", "no host"),
        ("https://ada:secret@host/", "user or password"),
        ("http://host:notaport/", "cannot be read"),
        ("http://[::1/", "cannot be read"),
    ],
)
def test_what_is_no_address_is_named(given: str, complaint: str) -> None:
    with pytest.raises(AddressError, match=complaint) as caught:
        endpoint(given, {})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("space", ["", "a/b", "a?b", "a b"])
def test_a_space_is_one_segment(space: str) -> None:
    with pytest.raises(AddressError, match="not a space"):
        endpoint("localhost", {}, space)


def test_an_address_is_shown_without_its_query() -> None:
    target = Endpoint("ws://localhost/ws/spaces/x/?token=hush")
    assert str(target) == "ws://localhost/ws/spaces/x/"
    assert "hush" not in repr(target)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://localhost/", True),
        ("ws://127.3.2.1:8/", True),
        ("ws://[::1]/", True),
        ("ws://10.0.0.1/", False),
    ],
)
def test_loopback_is_recognised(url: str, expected: bool) -> None:
    assert Endpoint(url).is_loopback is expected


def test_keys_come_from_the_arguments() -> None:
    assert keys("p", "s", None, {}) == Keys(public_key="p", secret_key="s")
    assert keys(None, None, "j", {}) == Keys(join_key="j")
    assert keys("p", "s", None, {"EMBEDENV_JOIN_KEY": "j"}) == Keys(public_key="p", secret_key="s")


def test_keys_come_from_the_environment() -> None:
    pair = {"EMBEDENV_PUBLIC_KEY": "p", "EMBEDENV_SECRET_KEY": "s"}
    assert keys(None, None, None, pair) == Keys(public_key="p", secret_key="s")
    assert keys("other", None, None, pair) == Keys(public_key="other", secret_key="s")
    assert keys(None, None, None, pair | {"EMBEDENV_JOIN_KEY": "j"}) == Keys(join_key="j")


@pytest.mark.parametrize(
    ("public", "secret", "missing"),
    [(None, None, "public_key"), ("p", None, "secret_key"), (None, "s", "public_key")],
)
def test_half_a_pair_is_refused(public: str | None, secret: str | None, missing: str) -> None:
    with pytest.raises(AddressError, match=f"{missing} is missing") as caught:
        keys(public, secret, None, {})
    assert "'s'" not in str(caught.value)


def test_keys_are_not_shown() -> None:
    assert "hush" not in repr(Keys("hush", "hush", "hush"))
