from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.accounts import credentials
from embedenv_jupyter.accounts.values import Account, Mode, NewKey


def test_keys_have_their_prefixes_and_are_never_the_same() -> None:
    for draw, prefix, length in (
        (credentials.new_public_key, "pk_", 25),
        (credentials.new_secret_key, "sk_", 46),
        (credentials.new_api_key, "ek_", 46),
    ):
        drawn = {draw() for _ in range(100)}
        assert len(drawn) == 100
        assert all(key.startswith(prefix) and len(key) == length for key in drawn)


def test_the_digest_is_sha256() -> None:
    assert credentials.digest("sk_x") == hashlib.sha256(b"sk_x").hexdigest()


@given(st.text(), st.text())
def test_only_the_same_secret_matches(one: str, other: str) -> None:
    assert credentials.matches(one, credentials.digest(other)) == (one == other)
    assert not credentials.matches(one, credentials.NO_SUCH_DIGEST)


def test_half_a_surrogate_pair_is_just_a_wrong_secret() -> None:
    assert not credentials.matches("\ud800", credentials.digest("sk_x"))


@pytest.mark.parametrize(
    "text", ["", "pk_", "sk_" + "a" * 22, "pk_" + "a" * 21 + "\0", "pk_" + "a" * 22 + "\n", "pk_" + "é" * 22]
)
def test_what_cannot_be_a_public_key_is_not_looked_up(text: str) -> None:
    assert credentials.lookup_key(text) == credentials.NO_SUCH_KEY


def test_a_drawn_public_key_is_looked_up() -> None:
    key = credentials.new_public_key()
    assert credentials.lookup_key(key) == key


def test_secrets_stay_out_of_logs() -> None:
    key = NewKey(Account(1, "ana", Mode.LIVE), "pk_x", "sk_secret", "ek_secret")
    assert "secret" not in repr(key)
