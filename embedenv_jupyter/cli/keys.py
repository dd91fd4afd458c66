"""``embedenv keys``: create, list and revoke keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import click

from embedenv_jupyter.accounts import AccountManager, Key, Mode, NewKey
from embedenv_jupyter.accounts.pools import MAX_GRANT
from embedenv_jupyter.cli.database import database_option, json_option, print_table, with_accounts

SHOWN_ONCE = "Keep the secrets now: only their hashes are stored, and they cannot be shown again."


@click.group()
def keys() -> None:
    """Create, list and revoke keys."""


command = keys


@keys.command()
@click.option("--name", default="", metavar="TEXT", help="Whose key it is; shown in lists.")
@click.option(
    "--credits", "granted", type=click.IntRange(0, MAX_GRANT), default=0, help="Credits to begin with."
)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in Mode]),
    default=Mode.LIVE.value,
    show_default=True,
    help="live: pays with granted credits. test: 50 free credits a day and 1000 once come first.",
)
@click.option("--account", type=int, metavar="ID", help="Add the key to this account instead of a new one.")
@click.option("--expires-days", type=click.IntRange(1, 36_500), metavar="DAYS", help="Not valid after DAYS.")
@json_option
@database_option
def create(
    name: str,
    granted: int,
    mode: str,
    account: int | None,
    expires_days: int | None,
    as_json: bool,
    database: str,
) -> None:
    """Create a public key, its secret key and an API key."""
    if account is not None and (name or granted or mode != Mode.LIVE):
        raise click.UsageError("--account cannot be combined with --name, --credits or --mode.")
    expires = datetime.now(UTC) + timedelta(days=expires_days) if expires_days is not None else None

    async def work(accounts: AccountManager) -> NewKey:
        if account is not None:
            return await accounts.add_key(account, expires=expires)
        return await accounts.create_key(name, credits=granted, mode=mode, expires=expires)

    key = with_accounts(database, work)
    secrets = {"public_key": key.public_key, "secret_key": key.secret_key, "api_key": key.api_key}
    if as_json:
        click.echo(json.dumps(secrets))
    else:
        for label, secret in secrets.items():
            click.echo(f"{label}  {secret}" if label != "api_key" else f"{label}     {secret}")
    click.echo(SHOWN_ONCE, err=True)


@keys.command("list")
@json_option
@database_option
def list_(as_json: bool, database: str) -> None:
    """List all keys, without their secrets."""

    async def work(accounts: AccountManager) -> list[Key]:
        return await accounts.list_keys()

    found = with_accounts(database, work)
    now = datetime.now(UTC)
    if as_json:
        click.echo(json.dumps([_described(key, now) for key in found], indent=2))
    elif found:
        print_table(
            "public key", "account", "name", "mode", "state", "created", "expires",
            rows=[
                (key.public_key, key.account.id, key.account.name, key.account.mode, key.state(now),
                 f"{key.created:%Y-%m-%d}", f"{key.expires:%Y-%m-%d}" if key.expires else "")
                for key in found
            ],
        )  # fmt: skip
    else:
        click.echo("There are no keys yet. Create one with: embedenv keys create", err=True)


@keys.command()
@click.argument("public_key")
@database_option
def revoke(public_key: str, database: str) -> None:
    """Make a key useless from now on; its account keeps what it has."""

    async def work(accounts: AccountManager) -> Key:
        return await accounts.revoke(public_key)

    key = with_accounts(database, work)
    click.echo(
        f"{key.public_key} of account {key.account.id} is revoked since {key.revoked:%Y-%m-%d %H:%M:%S} UTC."
    )


def _described(key: Key, now: datetime) -> dict[str, object]:
    return {
        "public_key": key.public_key,
        "account": key.account.id,
        "name": key.account.name,
        "mode": key.account.mode.value,
        "state": key.state(now),
        "created": key.created.isoformat(),
        "expires": key.expires.isoformat() if key.expires else None,
        "revoked": key.revoked.isoformat() if key.revoked else None,
    }
