"""``python -m embedenv_jupyter.forwarder -f CONNECTION_FILE``: what the kernelspec starts."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from pathlib import Path

from embedenv_jupyter.forwarder.memory import Memory
from embedenv_jupyter.forwarder.process import ForwarderProcess, Place


async def open_own(before: Memory | None, connection_file: Path) -> Place:
    """Open a room here, where no server has one for us; imported now, since that takes its time."""
    from embedenv_jupyter.forwarder.own_gateway import OwnRoom

    return await OwnRoom.open(before, connection_file)


async def serve(connection_file: Path) -> None:
    """Serve, then end without waiting for threads that talk to a server which does not answer."""
    await ForwarderProcess(connection_file, open_own).run()
    logging.shutdown()
    os._exit(0)


def main() -> None:
    """Serve one kernel."""
    parser = argparse.ArgumentParser(prog="embedenv_jupyter.forwarder", description=__doc__)
    parser.add_argument("-f", dest="file", type=Path, required=True, help="connection file of Jupyter")
    arguments, _ = parser.parse_known_args()
    logging.basicConfig(level=logging.WARNING, format="[embedenv] %(message)s")
    asyncio.run(serve(arguments.file))


if __name__ == "__main__":
    main()
