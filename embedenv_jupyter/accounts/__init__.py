"""Who pays: keys, credit pools, an append-only ledger, and what a shell line costs.

The rest of the program imports from here; the modules below are the parts.
"""

from __future__ import annotations

from embedenv_jupyter.accounts.costs import COSTS, INIT_COST, CostTable, cost_of
from embedenv_jupyter.accounts.location import data_dir, default_database_url
from embedenv_jupyter.accounts.manager import AccountManager
from embedenv_jupyter.accounts.pools import Allowances
from embedenv_jupyter.accounts.values import (
    LOCAL_ACCOUNT,
    Account,
    Balance,
    Charge,
    Entry,
    Key,
    Kind,
    Mode,
    NewKey,
    Pool,
    Refund,
)

__all__ = [
    "COSTS",
    "INIT_COST",
    "LOCAL_ACCOUNT",
    "Account",
    "AccountManager",
    "Allowances",
    "Balance",
    "Charge",
    "CostTable",
    "Entry",
    "Key",
    "Kind",
    "Mode",
    "NewKey",
    "Pool",
    "Refund",
    "cost_of",
    "data_dir",
    "default_database_url",
]
