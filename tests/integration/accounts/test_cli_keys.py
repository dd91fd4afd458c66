"""``embedenv keys`` in the process (click's runner) and once as a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from embedenv_jupyter.accounts import AccountManager
from embedenv_jupyter.cli.keys import keys
from embedenv_jupyter.errors import AuthenticationError


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(keys, [*arguments, "--database", url])


def created(url: str, *arguments: str) -> dict[str, str]:
    result = run(url, "create", "--json", *arguments)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert isinstance(answer, dict)
    return answer


async def test_a_created_key_works(database_url: str) -> None:
    async with AccountManager(database_url) as accounts:
        key = await asyncio.to_thread(created, database_url, "--name", "Ana", "--credits", "7")
        assert set(key) == {"public_key", "secret_key", "api_key"}
        account = await accounts.authenticate(key["public_key"], key["secret_key"])
        assert await accounts.authenticate_api_key(key["api_key"]) == account
        assert (account.name, (await accounts.balance(account.id)).total) == ("Ana", 7)


async def test_a_further_key_and_one_that_expires(sqlite_url: str) -> None:
    key = await asyncio.to_thread(created, sqlite_url, "--mode", "test")
    further = await asyncio.to_thread(created, sqlite_url, "--account", "1", "--expires-days", "3")
    async with AccountManager(sqlite_url) as accounts:
        account = await accounts.authenticate(key["public_key"], key["secret_key"])
        assert await accounts.authenticate(further["public_key"], further["secret_key"]) == account
        shown = await accounts.find_key(further["public_key"])
        assert shown.expires is not None
        assert (shown.expires - shown.created).days in (2, 3)


async def test_a_revoked_key_no_longer_works(sqlite_url: str) -> None:
    key = await asyncio.to_thread(created, sqlite_url)
    result = await asyncio.to_thread(run, sqlite_url, "revoke", key["public_key"])
    assert result.exit_code == 0
    assert "is revoked since" in result.stdout
    async with AccountManager(sqlite_url) as accounts:
        with pytest.raises(AuthenticationError):
            await accounts.authenticate(key["public_key"], key["secret_key"])


def test_secrets_are_shown_once_and_that_is_said(sqlite_url: str) -> None:
    result = run(sqlite_url, "create")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["public_key", "secret_key", "api_key"]
    assert "cannot be shown again" in result.stderr
    secrets = [line.split()[1] for line in result.stdout.splitlines()][1:]
    listed = run(sqlite_url, "list").output + run(sqlite_url, "list", "--json").output
    assert not any(secret in listed for secret in secrets)


def test_lists_show_names_as_they_are(sqlite_url: str) -> None:
    names = ["[red]Ana[/red]", ":smile: Ben", "Zoë 東京"]
    made = [created(sqlite_url, "--name", name)["public_key"] for name in names]
    table = run(sqlite_url, "list").stdout
    for text in (*names, *made):
        assert text in table
    described = json.loads(run(sqlite_url, "list", "--json").stdout)
    assert [(key["public_key"], key["name"], key["state"]) for key in described] == [
        (key, name, "active") for key, name in zip(made, names, strict=True)
    ]


def test_an_empty_list_says_how_to_go_on(sqlite_url: str) -> None:
    result = run(sqlite_url, "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "embedenv keys create" in result.stderr
    assert json.loads(run(sqlite_url, "list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["revoke", "pk_nobody"], 1, "embedenv keys list"),
        (["create", "--account", "7"], 1, "embedenv keys list"),
        (["create", "--account", "7", "--credits", "5"], 2, "cannot be combined"),
        (["create", "--credits", "-1"], 2, "--credits"),
        (["create", "--credits", "many"], 2, "--credits"),
        (["create", "--mode", "free"], 2, "'live', 'test'"),
        (["create", "--name", "a\x1b[2J"], 1, "printable"),
        (["create", "--name", "x" * 101], 1, "100"),
        (["create", "--expires-days", "0"], 2, "--expires-days"),
    ],
)
def test_errors_say_what_to_do(sqlite_url: str, arguments: list[str], exit_code: int, said: str) -> None:
    result = run(sqlite_url, *arguments)
    assert result.exit_code == exit_code
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://ana:hush@h/d", "Use sqlite:///FILE"),
        ("sqlite:////proc/no/x.db", "you may write to it"),
        ("postgresql://ana:hush@127.0.0.1:1/d", "that it is running"),
    ],
)
def test_a_database_of_no_use_is_explained_without_its_password(url: str, said: str) -> None:
    result = run(url, "list")
    assert result.exit_code == 1
    assert said in result.stderr
    assert "hush" not in result.output


def test_the_database_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CliRunner()
    monkeypatch.delenv("EMBEDENV_DATABASE", raising=False)
    monkeypatch.setenv("EMBEDENV_DATA_DIR", str(tmp_path / "data"))
    assert runner.invoke(keys, ["create"]).exit_code == 0
    assert (tmp_path / "data" / "embedenv.db").exists()
    monkeypatch.setenv("EMBEDENV_DATABASE", f"sqlite:///{tmp_path}/other.db")
    assert runner.invoke(keys, ["create"]).exit_code == 0
    assert (tmp_path / "other.db").exists()
    shown = runner.invoke(keys, ["create", "--help"], terminal_width=200).output
    assert "[default: (EMBEDENV_DATABASE" in " ".join(shown.split())


def test_the_command_works_as_a_process(sqlite_url: str) -> None:
    embedenv = [sys.executable, "-c", "from embedenv_jupyter.cli import main; main(prog_name='embedenv')"]
    ran = subprocess.run(
        [*embedenv, "keys", "create", "--json", "--credits", "5", "--database", sqlite_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    key = json.loads(ran.stdout)
    assert "cannot be shown again" in ran.stderr
    ran = subprocess.run(
        [*embedenv, "credits", "show", key["public_key"], "--json", "--database", sqlite_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(ran.stdout)["remaining_credits"] == 5
    failed = subprocess.run(
        [*embedenv, "credits", "show", "pk_nobody", "--database", sqlite_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("Error: There is no account 'pk_nobody'.")
