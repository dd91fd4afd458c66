"""The same room without asyncio; Ctrl+C interrupts the program in the room first.

Takes the address and the keys from EMBEDENV_URL, EMBEDENV_PUBLIC_KEY and EMBEDENV_SECRET_KEY.
"""

from __future__ import annotations

from embedenv_jupyter.client import connect_sync


def main() -> None:
    with connect_sync() as room:
        room.files.deploy({"main.py": "import platform\nprint('Python', platform.python_version())\n"})
        print(room.shell("python3 project/main.py").text(), end="")
        run = room.shell("for n in 1 2 3; do echo $n; done; exit 3")
        for line in run:
            print("line", line)
        print(run.wait())


if __name__ == "__main__":
    main()
