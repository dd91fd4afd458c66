"""Put a local directory into a room, work on it there, and bring a result back.

    python examples/client_files.py DIRECTORY

Takes the address and the keys from EMBEDENV_URL, EMBEDENV_PUBLIC_KEY and EMBEDENV_SECRET_KEY.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from embedenv_jupyter.client import connect


async def main(directory: Path) -> None:
    async with connect() as room:
        await room.files.deploy(directory)
        run = await room.shell(
            "cd project && find . -type f | sort | tar -czf /tmp/all.tgz -T - && mv /tmp/all.tgz ."
        )
        await run.discard().wait()
        for entry in await room.files.list():
            print(f"{entry.type:8}{entry.size or 0:10}  {entry.name}")
        archive = await room.files.read("all.tgz")
        print(f"all.tgz has {len(archive)} bytes and begins with {archive[:2].hex()}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
