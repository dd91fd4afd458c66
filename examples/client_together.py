"""Two members in one room: the host hands on the join key, and both see the same run.

A backend does this for its pages: the secret key stays here, the join key may go to a browser.
Takes the address and the keys from EMBEDENV_URL, EMBEDENV_PUBLIC_KEY and EMBEDENV_SECRET_KEY.
"""

from __future__ import annotations

import asyncio

from embedenv_jupyter.client import Room, RoomEvent, connect


async def follow(guest: Room, is_ready: asyncio.Event) -> None:
    with guest.watch() as runs:
        is_ready.set()
        run = await anext(runs)
        async for line in run:
            print(f"{guest.role}: {run.user} ran {run.command!r}: {line}")


async def main() -> None:
    async with connect() as host:
        events = host.events()
        async with connect(join=host.join_key, user="ada", color="#10b981") as guest:
            is_ready = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(follow(guest, is_ready))
                await is_ready.wait()
                await (await host.shell("echo hello, everybody")).wait()
        async for event in events:
            if isinstance(event, RoomEvent) and event.name.startswith("member-"):
                print(event.name, event.details["user"])
                if event.name == "member-left":
                    return


if __name__ == "__main__":
    asyncio.run(main())
