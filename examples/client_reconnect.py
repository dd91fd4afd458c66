"""Watch what happens to a connection: a long run goes on through cuts, and a gap would be told.

Cut the network or restart a proxy while this runs. Nothing in the loop over the output has to know.
Takes the address and the keys from EMBEDENV_URL, EMBEDENV_PUBLIC_KEY and EMBEDENV_SECRET_KEY.
"""

from __future__ import annotations

import asyncio
import sys

from embedenv_jupyter.client import Gap, Retry, Room, StateChange, connect
from embedenv_jupyter.errors import ConnectionLostError

PATIENT = Retry(base_s=0.25, cap_s=5.0, give_up_s=600.0)


async def report(room: Room) -> None:
    async for event in room.events():
        match event:
            case StateChange(state=state, reason=reason):
                print(f"[{state.value} {reason}]", file=sys.stderr)
            case Gap(events=events):
                print(f"[{events} events were lost]", file=sys.stderr)


async def main(seconds: int) -> None:
    async with connect(retry=PATIENT) as room:
        reporting = asyncio.create_task(report(room))
        try:
            run = await room.shell(f"for n in $(seq {seconds}); do echo second $n; sleep 1; done")
            async for line in run:
                print(line)
        except ConnectionLostError as exc:
            print(exc, f"(the last event was number {exc.last_n})", file=sys.stderr)
        finally:
            await room.close()
            await reporting


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
