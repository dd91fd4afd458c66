"""``python -m embedenv_jupyter.forwarder -f CONNECTION_FILE``: what the kernelspec starts."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from embedenv_jupyter.client.address import JOIN_KEY_VARIABLE, URL_VARIABLE
from embedenv_jupyter.client.refusal import AddressError
from embedenv_jupyter.errors import ConnectionLostError
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


def speaks_only_engine(environment: Mapping[str, str]) -> bool:
    """Ask the gateway that the environment names, if it is one without rooms.

    One that cannot be asked now, or only with a wrong address, has its say later: in each cell.
    """
    if not (url := environment.get(URL_VARIABLE)) or environment.get(JOIN_KEY_VARIABLE):
        return False  # only rooms have join keys
    from embedenv_jupyter.forwarder.dialects import dialect_of

    try:
        return asyncio.run(dialect_of(url)) == "engine"
    except (AddressError, ConnectionLostError):
        return False


def main() -> None:
    """Serve one kernel."""
    parser = argparse.ArgumentParser(prog="embedenv_jupyter.forwarder", description=__doc__)
    parser.add_argument("-f", dest="file", type=Path, required=True, help="connection file of Jupyter")
    arguments, _ = parser.parse_known_args()
    if speaks_only_engine(os.environ):
        from embedenv_jupyter.forwarder import engine_kernel

        engine_kernel.main(sys.argv[1:])
        return
    logging.basicConfig(level=logging.WARNING, format="[embedenv] %(message)s")
    asyncio.run(serve(arguments.file))


if __name__ == "__main__":
    main()
