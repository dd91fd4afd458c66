"""Run a line of shell in a new room and stream its output.

Takes the address and the keys from EMBEDENV_URL, EMBEDENV_PUBLIC_KEY and EMBEDENV_SECRET_KEY.
"""

from __future__ import annotations

import asyncio
import sys

from embedenv_jupyter.client import connect


async def main(command: str) -> int:
    async with connect() as room:
        run = await room.shell(command)
        async for line in run:
            print(line)
        status = await run.wait()
        print(f"[{status}; {room.remaining_credits} credits are left]")
        return status.shell_code


if __name__ == "__main__":
    line = " ".join(sys.argv[1:]) or "for n in 1 2 3; do echo line $n; sleep 0.2; done"
    sys.exit(asyncio.run(main(line)))
