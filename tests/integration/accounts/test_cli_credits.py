"""``embedenv credits`` in the process, with click's runner."""

from __future__ import annotations

import asyncio
import csv
import json

import pytest
from click.testing import CliRunner, Result

from embedenv_jupyter.accounts import AccountManager
from embedenv_jupyter.cli import credits as module


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(module.credits, [*arguments, "--database", url])


def make(url: str, *requests: tuple[str, int], mode: str = "test") -> str:
    """Make an account that charged these notes and costs; return its public key."""

    async def work() -> str:
        async with AccountManager(url) as accounts:
            key = await accounts.create_key("Ana", mode=mode)
            for number, (note, cost) in enumerate(requests):
                await accounts.charge(
                    key.account.id, cost, kind="shell", idempotency_key=f"k{number}", note=note
                )
            return key.public_key

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work())
    finally:
        loop.close()


def test_what_is_left_is_shown(sqlite_url: str) -> None:
    ana = make(sqlite_url, ("git clone", 55))
    make(sqlite_url, mode="live")
    assert json.loads(run(sqlite_url, "show", ana, "--json").stdout) == {
        "account": 1,
        "name": "Ana",
        "mode": "test",
        "pools": {"daily": 0, "lifetime": 995},
        "remaining_credits": 995,
    }
    everybody = json.loads(run(sqlite_url, "show", "--json").stdout)
    assert [account["remaining_credits"] for account in everybody] == [995, 0]
    table = run(sqlite_url, "show").stdout
    assert "daily 0, lifetime 995" in table
    assert "live 0" in table


def test_an_account_with_two_keys_is_shown_once(sqlite_url: str) -> None:
    make(sqlite_url)

    async def add_key() -> None:
        async with AccountManager(sqlite_url) as accounts:
            await accounts.add_key(1)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(add_key())
    loop.close()
    assert len(json.loads(run(sqlite_url, "show", "--json").stdout)) == 1


def test_a_grant_arrives_once_for_each_key(sqlite_url: str) -> None:
    ana = make(sqlite_url, mode="live")
    for _ in range(2):
        result = run(sqlite_url, "grant", ana, "25", "--note", "course", "--idempotency-key", "spring")
        assert result.exit_code == 0
        assert "Granted 25 credits" in result.stdout
        assert "has 25 left" in result.stdout
    assert "has 26 left" in run(sqlite_url, "grant", ana, "1").stdout


def test_the_ledger_as_csv_has_every_entry_and_no_formula(sqlite_url: str) -> None:
    ana = make(sqlite_url, ('=HYPERLINK("http://x")', 1), ("pip install a,b", 5))
    result = run(sqlite_url, "ledger", ana, "--csv", "--limit", "1")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [(row["kind"], row["pool"], row["delta"], row["balance"], row["note"]) for row in rows] == [
        ("grant", "daily", "50", "50", "opening"),
        ("grant", "lifetime", "1000", "1000", "opening"),
        ("shell", "daily", "-1", "49", '\'=HYPERLINK("http://x")'),
        ("shell", "daily", "-5", "44", "pip install a,b"),
    ]


def test_csv_goes_on_over_pages(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    ana = make(sqlite_url, *(("ls", 1) for _ in range(5)))
    assert len(run(sqlite_url, "ledger", ana, "--csv").stdout.splitlines()) == 1 + 2 + 5


def test_the_table_shows_the_newest(sqlite_url: str) -> None:
    ana = make(sqlite_url, ("[b]first[/b]", 1), ("second", 1), ("third", 1))
    assert "[b]first[/b]" in run(sqlite_url, "ledger", ana).stdout
    shown = run(sqlite_url, "ledger", ana, "--limit", "2").stdout
    assert "first" not in shown
    assert shown.index("second") < shown.index("third")


def test_nothing_to_show_says_so(sqlite_url: str) -> None:
    result = run(sqlite_url, "show")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "embedenv keys create" in result.stderr
    ana = make(sqlite_url, mode="live")
    result = run(sqlite_url, "ledger", ana)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Nothing was granted" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["show", "pk_nobody"], 1, "embedenv keys list"),
        (["ledger", "pk_nobody", "--csv"], 1, "embedenv keys list"),
        (["grant", "pk_nobody", "1"], 1, "embedenv keys list"),
        (["grant", "pk_nobody", "0"], 2, "0 is not in the range"),
        (["grant", "pk_nobody", "-5"], 2, "-5"),
        (["grant", "pk_nobody"], 2, "AMOUNT"),
    ],
)
def test_errors_say_what_to_do(sqlite_url: str, arguments: list[str], exit_code: int, said: str) -> None:
    result = run(sqlite_url, *arguments)
    assert result.exit_code == exit_code
    assert said in result.stderr
    assert result.stdout == ""


def test_a_key_for_two_different_grants_is_refused(sqlite_url: str) -> None:
    ana = make(sqlite_url, mode="live")
    run(sqlite_url, "grant", ana, "1", "--idempotency-key", "spring")
    result = run(sqlite_url, "grant", ana, "2", "--idempotency-key", "spring")
    assert result.exit_code == 1
    assert "'spring' stands for grant 1 already" in result.stderr
