"""``embedenv credits``: show, grant and account for credits."""

from __future__ import annotations

import json

import click

from embedenv_jupyter.accounts import Account, AccountManager, Balance, Entry
from embedenv_jupyter.accounts.csv_export import csv_lines
from embedenv_jupyter.accounts.pools import MAX_GRANT
from embedenv_jupyter.cli.database import database_option, json_option, print_table, with_accounts

_PAGE = 1000
_SHOWN = 50


@click.group("credits")
def command() -> None:
    """Show, grant and account for credits."""


credits = command  # noqa: A001 - the group under its own name, for who mounts it elsewhere


@command.command()
@click.argument("public_key", required=False)
@json_option
@database_option
def show(public_key: str | None, as_json: bool, database: str) -> None:
    """Show what the account of PUBLIC_KEY has left, or every account."""

    async def work(accounts: AccountManager) -> list[tuple[Account, Balance]]:
        found = [await accounts.find_key(public_key)] if public_key else await accounts.list_keys()
        owners = {key.account.id: key.account for key in found}
        return [(owner, await accounts.balance(owner.id)) for owner in owners.values()]

    balances = with_accounts(database, work)
    if as_json:
        described = [_described(owner, balance) for owner, balance in balances]
        click.echo(json.dumps(described[0] if public_key else described, indent=2))
    elif balances:
        print_table("account", "name", "mode", "pools", "left", rows=[_row(*pair) for pair in balances])
    else:
        click.echo("There are no accounts yet. Create one with: embedenv keys create", err=True)


@command.command()
@click.argument("public_key")
@click.argument("amount", type=click.IntRange(1, MAX_GRANT))
@click.option("--note", default="", metavar="TEXT", help="Why; kept in the ledger.")
@click.option("--idempotency-key", metavar="TEXT", help="The same key again grants nothing more.")
@database_option
def grant(public_key: str, amount: int, note: str, idempotency_key: str | None, database: str) -> None:
    """Add AMOUNT credits to the account of PUBLIC_KEY."""

    async def work(accounts: AccountManager) -> tuple[Entry, Balance]:
        owner = (await accounts.find_key(public_key)).account
        entry = await accounts.grant(owner.id, amount, note=note, idempotency_key=idempotency_key)
        return entry, await accounts.balance(owner.id)

    entry, balance = with_accounts(database, work)
    click.echo(
        f"Granted {entry.delta} credits (entry {entry.id});"
        f" account {entry.account_id} has {balance.total} left."
    )


@command.command()
@click.argument("public_key")
@click.option("--csv", "as_csv", is_flag=True, help="Print every entry as CSV.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=_SHOWN, show_default=True,
              help="Newest entries to show; CSV has all of them.")  # fmt: skip
@database_option
def ledger(public_key: str, as_csv: bool, limit: int, database: str) -> None:
    """Show what was charged, granted and given back, oldest first."""

    async def work(accounts: AccountManager) -> list[Entry]:
        owner = (await accounts.find_key(public_key)).account
        if not as_csv:
            return await accounts.ledger(owner.id, limit=limit, newest=True)
        entries: list[Entry] = []
        while page := await accounts.ledger(owner.id, after=entries[-1].id if entries else 0, limit=_PAGE):
            entries += page
        return entries

    entries = with_accounts(database, work)
    if as_csv:
        for line in csv_lines(entries):
            click.echo(line, nl=False)
    elif entries:
        print_table(
            "id", "created (UTC)", "kind", "pool", "credits", "balance", "note",
            rows=[
                (entry.id, f"{entry.created:%Y-%m-%d %H:%M:%S}", entry.kind, entry.pool, f"{entry.delta:+d}",
                 entry.balance, entry.note or (f"refunds {entry.refunds}" if entry.refunds else ""))
                for entry in entries
            ],
        )  # fmt: skip
    else:
        click.echo("Nothing was granted or charged yet.", err=True)


def _row(owner: Account, balance: Balance) -> tuple[object, ...]:
    pools = ", ".join(f"{pool} {amount}" for pool, amount in balance.pools.items())
    return owner.id, owner.name, owner.mode, pools, balance.total


def _described(owner: Account, balance: Balance) -> dict[str, object]:
    return {
        "account": owner.id,
        "name": owner.name,
        "mode": owner.mode.value,
        "pools": {pool.value: amount for pool, amount in balance.pools.items()},
        "remaining_credits": balance.total,
    }
