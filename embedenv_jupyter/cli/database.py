"""What the commands about accounts share: which database, and what its errors look like in a shell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedenv_jupyter.accounts import AccountManager, default_database_url
from embedenv_jupyter.errors import AccountError, AccountsUnavailableError, UnknownAccountError

T = TypeVar("T")

_FILE_COLUMNS = 1000
"""Width of a table in a pipe or file, where nothing folds."""

database_option = click.option(
    "--database",
    metavar="URL",
    default=default_database_url,
    show_default="EMBEDENV_DATABASE, or embedenv.db in EMBEDENV_DATA_DIR or Jupyter's data folder",
    help="Database of the accounts: sqlite:///FILE or postgresql+asyncpg://USER@HOST/NAME."
    " Put a URL with a password in EMBEDENV_DATABASE: others can read the command line.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def with_accounts(url: str, work: Callable[[AccountManager], Awaitable[T]]) -> T:
    """Open the accounts, let ``work`` have them, and close them.

    Raises:
        click.ClickException: something was refused; its text says what to do next.
    """

    async def opened() -> T:
        async with AccountManager(url) as accounts:
            return await work(accounts)

    try:
        return asyncio.run(opened())
    except AccountsUnavailableError as exc:
        raise click.ClickException(f"{exc.reason} {exc.remedy}".strip()) from exc
    except UnknownAccountError as exc:
        raise click.ClickException(f"{exc} See them all with: embedenv keys list") from exc
    except (AccountError, ValueError) as exc:
        raise click.ClickException(str(exc)) from exc


def print_table(*columns: str, rows: list[tuple[object, ...]]) -> None:
    """Print rows as a table; cells are never read as markup, and never folded when it goes to a file."""
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0)  # the first is what people copy
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell), overflow="fold") for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_FILE_COLUMNS)
    console.print(table)
