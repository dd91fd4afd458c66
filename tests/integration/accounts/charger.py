"""A process of its own that charges: ``python charger.py URL ACCOUNT COUNT PREFIX``.

Says "ready" when it is connected, begins when it gets a line, and says how many
of its charges were made and refused.
"""

from __future__ import annotations

import asyncio
import sys

from embedenv_jupyter.accounts import AccountManager, Charge
from embedenv_jupyter.errors import InsufficientCreditsError


async def charge_often(url: str, account_id: int, count: int, prefix: str) -> None:
    async with AccountManager(url) as accounts:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        results = await asyncio.gather(
            *(
                accounts.charge(account_id, 1, kind="init", idempotency_key=f"{prefix}{number}")
                for number in range(count)
            ),
            return_exceptions=True,
        )
    made = sum(isinstance(result, Charge) for result in results)
    refused = sum(isinstance(result, InsufficientCreditsError) for result in results)
    print(made, refused, flush=True)


if __name__ == "__main__":
    asyncio.run(charge_often(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
