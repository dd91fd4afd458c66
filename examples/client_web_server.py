"""Start a web server inside a room and talk to it from here; no port of this machine is opened.

Takes the address and the keys from EMBEDENV_URL, EMBEDENV_PUBLIC_KEY and EMBEDENV_SECRET_KEY.
"""

from __future__ import annotations

import asyncio

from embedenv_jupyter.client import connect


async def main() -> None:
    async with connect() as room:
        await room.files.deploy({"index.html": "<h1>Hello from a room</h1>"})
        server = await room.shell("cd project && exec python3 -u -m http.server 3000")
        print(await anext(server))  # it listens now
        server.discard()  # its log of requests is of no interest here
        async for piece in room.curl("GET", "http://localhost:3000/", headers={"Accept": "text/html"}):
            print(piece)
        await server.interrupt()
        print("the server ended:", await server.wait())


if __name__ == "__main__":
    asyncio.run(main())
