"""Answer a program that asks: a prompt is a line of output, and send() is a line of input.

Takes the address and the keys from EMBEDENV_URL, EMBEDENV_PUBLIC_KEY and EMBEDENV_SECRET_KEY.
"""

from __future__ import annotations

import asyncio

from embedenv_jupyter.client import connect

PROGRAM = """
total = 0
while (number := input("a number, or nothing: ")):
    total += int(number)
print("the sum is", total)
"""


async def main() -> None:
    numbers = iter(["3", "4", ""])
    async with connect() as room:
        await room.files.write("adder.py", PROGRAM)
        run = await room.shell("python3 -u project/adder.py")
        async for line in run:
            print(line)
            if line.startswith("a number"):
                await run.send(next(numbers))


if __name__ == "__main__":
    asyncio.run(main())
