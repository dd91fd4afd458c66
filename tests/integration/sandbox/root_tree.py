"""A root tree of this machine's own programs, so that rooms on images are tested without building one."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from embedenv_jupyter.sandbox import image
from tests.integration.sandbox import engine_image


def unavailable() -> str:
    """Say why there cannot be one here; empty if there can."""
    python = os.path.realpath(sys.executable)
    if any(os.path.realpath(path) == python for path in image.PYTHONS):
        return ""
    return f"images have their Python in /usr, and {python} is elsewhere"


@cache
def make() -> Path:
    """Unpack the tree, once for this process; nothing in it is writable for others."""
    folder = Path(tempfile.mkdtemp(prefix="embedenv-tree-"))
    atexit.register(shutil.rmtree, folder)
    subprocess.run(["tar", "--extract", f"--directory={folder}"], input=engine_image.archive(), check=True)
    (folder / "etc/hosts").touch()
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode & ~0o022
            path.chmod(mode | 0o555 if path.is_dir() else mode)
    return folder
