"""Images as archives, and as images of docker and podman."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from embedenv_jupyter.images.errors import ImageError
from embedenv_jupyter.images.store import Listed
from embedenv_jupyter.languages.language import TOOLCHAINS
from embedenv_jupyter.sandbox.image import REPOSITORY, TreeLease, lease

ENGINES = ("docker", "podman")

_PATH = f"{TOOLCHAINS}/venv/bin:/usr/local/bin:/usr/bin:/bin"
"""In an engine's image the Python with ipykernel comes first: the supervisor is started with it."""


def archive(listed: Listed, to: IO[bytes]) -> None:
    """Write an image as a tar archive, as `docker import` reads it.

    Raises:
        ImageError: it could not be written.
    """
    with ExitStack() as held:
        held.callback(_leased(listed).release)
        done = subprocess.run(
            _tar(listed.tree), stdin=subprocess.DEVNULL, stdout=to, stderr=subprocess.PIPE, check=False
        )
    if done.returncode != 0:
        raise ImageError(f"The archive could not be written: {_words(done.stderr)}")


def load(listed: Listed, engine: str) -> str:
    """Make an image one of an engine's; return its name there, which rooms of that tier find by ours.

    Raises:
        ImageError: the engine is not there, or refuses.
    """
    if shutil.which(engine) is None:
        raise ImageError(f"There is no {engine} on this machine.", (f"apt-get install {engine}",))
    name = f"{REPOSITORY}:{listed.name}"
    change = [
        "--change",
        f"ENV PATH={_PATH}",
        "--change",
        "ENV LANG=C.UTF-8",
        "--change",
        'CMD ["/bin/bash"]',
    ]
    with ExitStack() as held:
        held.callback(_leased(listed).release)
        tar = held.enter_context(
            subprocess.Popen(_tar(listed.tree), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        )
        done = subprocess.run(
            [engine, "import", *change, "-", name], stdin=tar.stdout, capture_output=True, check=False
        )
        assert tar.stdout is not None, "a pipe was asked for"
        tar.stdout.close()  # so that tar ends where the engine has gone
        failed = tar.wait() != 0
    if done.returncode != 0:
        raise ImageError(f"{engine} did not take the image: {_words(done.stderr)}")
    if failed:
        raise ImageError(f"Files of the image could not be read; {engine} has an image without them: {name}")
    return name


def _leased(listed: Listed) -> TreeLease:
    return lease(str(listed.tree))


def _tar(tree: Path) -> list[str]:
    return ["tar", "--create", "--numeric-owner", "--xattrs", f"--directory={tree}", "."]


def _words(complaint: bytes) -> str:
    lines = complaint.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it did not say why"
