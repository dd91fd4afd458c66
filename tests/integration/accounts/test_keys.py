from __future__ import annotations

from datetime import timedelta

import pytest

from embedenv_jupyter.accounts import AccountManager, Mode
from embedenv_jupyter.accounts.engine import database_url as parse_url
from embedenv_jupyter.accounts.engine import sqlite_file
from embedenv_jupyter.errors import AuthenticationError, UnknownAccountError
from tests.integration.accounts.clock import StandingClock


async def test_a_key_opens_its_account(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        ana = await accounts.create_key("Ana", credits=5)
        ben = await accounts.create_key("Ben", mode="test")
        assert (await accounts.authenticate(ana.public_key, ana.secret_key)) == ana.account
        assert (await accounts.authenticate_api_key(ben.api_key)) == ben.account
        assert (ana.account.name, ana.account.mode) == ("Ana", Mode.LIVE)
        assert (ben.account.name, ben.account.mode) == ("Ben", Mode.TEST)


HOSTILE = ["", "pk_", "' OR 1=1 --", "\0", "\ud800", "pk_" + "x" * 22, "x" * 100_000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_every_refusal_reads_the_same(database_url: str, text: str) -> None:
    async with AccountManager(database_url) as accounts:
        key = await accounts.create_key("Ana")
        other = await accounts.create_key("Ben")
        refused = []
        for public_key, secret_key in [
            (key.public_key, text),
            (text, key.secret_key),
            (key.public_key, other.secret_key),
            (key.public_key, key.api_key),
            (key.secret_key, key.secret_key),
        ]:
            with pytest.raises(AuthenticationError) as caught:
                await accounts.authenticate(public_key, secret_key)
            refused.append(str(caught.value))
        for api_key in (text, key.secret_key, key.public_key):
            with pytest.raises(AuthenticationError) as caught:
                await accounts.authenticate_api_key(api_key)
            refused.append(str(caught.value))
        assert len(set(refused)) == 1


async def test_a_revoked_key_is_refused_and_the_account_keeps_its_credits(
    database_url: str, clock: StandingClock
) -> None:
    async with AccountManager(database_url, clock=clock) as accounts:
        key = await accounts.create_key("Ana", credits=5)
        further = await accounts.add_key(key.account.id)
        revoked = await accounts.revoke(key.public_key)
        assert revoked.revoked == clock.now
        clock.forward(hours=1)
        assert await accounts.revoke(key.public_key) == revoked
        with pytest.raises(AuthenticationError):
            await accounts.authenticate(key.public_key, key.secret_key)
        with pytest.raises(AuthenticationError):
            await accounts.authenticate_api_key(key.api_key)
        assert await accounts.authenticate(further.public_key, further.secret_key) == key.account
        assert (await accounts.balance(key.account.id)).total == 5


async def test_a_key_expires_at_its_moment(database_url: str, clock: StandingClock) -> None:
    async with AccountManager(database_url, clock=clock) as accounts:
        key = await accounts.create_key("Ana", expires=clock.now + timedelta(hours=2))
        clock.forward(hours=1)
        assert await accounts.authenticate_api_key(key.api_key) == key.account
        clock.forward(hours=1)
        with pytest.raises(AuthenticationError):
            await accounts.authenticate_api_key(key.api_key)
        assert (await accounts.find_key(key.public_key)).state(clock.now) == "expired"


async def test_lists_show_every_key_and_no_secret(database_url: str, clock: StandingClock) -> None:
    async with AccountManager(database_url, clock=clock) as accounts:
        made = [await accounts.create_key(name) for name in ("Ana", "Ben")]
        await accounts.revoke(made[0].public_key)
        listed = await accounts.list_keys()
        assert [key.public_key for key in listed] == [key.public_key for key in made]
        assert [key.state(clock.now) for key in listed] == ["revoked", "active"]
        assert [key.created for key in listed] == [clock.now, clock.now]
        assert not any(new.secret_key in repr(listed) or new.api_key in repr(listed) for new in made)


async def test_secrets_are_not_in_the_database(sqlite_url: str) -> None:
    async with AccountManager(sqlite_url) as accounts:
        key = await accounts.create_key("Ana")
    stored = sqlite_file(parse_url(sqlite_url)).read_bytes()
    assert key.public_key.encode() in stored
    for secret in (key.secret_key, key.api_key):
        assert secret.encode() not in stored
        assert secret[3:].encode() not in stored


async def test_what_does_not_exist_is_named(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        for public_key in ("pk_" + "x" * 22, "pk_\0"):
            with pytest.raises(UnknownAccountError):
                await accounts.revoke(public_key)
            with pytest.raises(UnknownAccountError):
                await accounts.find_key(public_key)
        with pytest.raises(UnknownAccountError, match="7"):
            await accounts.add_key(7)


@pytest.mark.parametrize("name", ["x" * 101, "a\0b", "a\nb", "\x1b[2J", "\ud800"])
async def test_names_that_would_spoil_a_list_are_refused(sqlite_url: str, name: str) -> None:
    async with AccountManager(sqlite_url) as accounts:
        with pytest.raises(ValueError, match="printable"):
            await accounts.create_key(name)
        with pytest.raises(ValueError, match="credits"):
            await accounts.create_key("Ana", credits=-1)
        with pytest.raises(ValueError, match="Mode"):
            await accounts.create_key("Ana", mode="free")
        assert await accounts.list_keys() == []
