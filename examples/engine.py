"""Run code in several languages, answer a program that asks, and interrupt one that does not end.

Takes the address and the key from EMBEDENV_URL and EMBEDENV_API_KEY.
"""

from __future__ import annotations

import asyncio

from embedenv_jupyter.client import Engine
from embedenv_jupyter.protocols.engine.frames import Prompt, Stdout

ASKING = "name = input('name? ')\nprint('hello', name)"
ENDLESS = "import itertools, time\nfor n in itertools.count():\n    print(n, flush=True)\n    time.sleep(0.1)"


async def main() -> None:
    async with Engine() as engine:
        await engine.execute("python", "greeting = 'kept'")
        answers = await asyncio.gather(
            engine.execute("python", "print(greeting)"),
            engine.execute("bash", "tr a-z A-Z", stdin="from bash\n"),
        )
        for answer in answers:
            print(answer.stdout, end="")

        run = await engine.stream("python", ASKING)
        async for event in run:
            match event:
                case Stdout(data=text):
                    print(text, end="")
                case Prompt():
                    await run.stdin("ada\n")

        run = await engine.stream("python", ENDLESS)
        async for event in run:
            if isinstance(event, Stdout) and "3" in event.data:
                await run.signal("INT")
                break
        end = await run.result()
        print(
            f"ended by {end.signal} with exit code {end.exit_code}; a ping took {await engine.ping():.4f} s"
        )


if __name__ == "__main__":
    asyncio.run(main())
