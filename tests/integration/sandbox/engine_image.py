"""A small image of this machine's own programs, so that container tiers are tested without a registry."""

from __future__ import annotations

import io
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

NAME = f"localhost/embedenv-test:{platform.python_version()}"
"""Named by what is in it, so that another interpreter does not find an old image."""

_PROGRAMS = """
awk bash cat chmod cp cut date dash df echo env expr false find grep head id kill ln ls mawk mkdir mkfifo
mktemp mv nproc printf ps rm rmdir sed seq setsid sh sha256sum sleep sort stat stty tail tee test touch tr
true truncate tty wc xargs
""".split()


def unavailable(engine: str) -> str:
    """Say why tests with this engine cannot run here; empty if they can."""
    if shutil.which(engine) is None:
        return f"{engine} is not installed"
    answer = subprocess.run([engine, "info"], capture_output=True, text=True, check=False, timeout=30)
    return "" if answer.returncode == 0 else f"{engine} does not answer: {answer.stderr.strip()[-200:]}"


def options(engine: str) -> tuple[str, ...]:
    """Return what an engine must be told before each command to work on this machine."""
    probe = [engine, "run", "--rm", "--pull", "never", "--network", "none", "--ulimit", "nofile=64:64",
             "--ulimit", "nproc=64:64", "--entrypoint", "true", NAME]  # fmt: skip
    done = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=60)
    runc = shutil.which("runc", path="/usr/bin:/usr/sbin:/usr/local/bin")
    # crun refuses machines that have cgroups of both versions; runc does not.
    return ("--runtime", runc) if "hybrid" in done.stderr and runc else ()


def make(engine: str) -> None:
    """Import the image into an engine, if it is not there."""
    if subprocess.run([engine, "image", "inspect", NAME], capture_output=True, check=False).returncode:
        done = subprocess.run(
            [engine, "import", "-", NAME], input=archive(), capture_output=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr


def archive() -> bytes:
    """Return the tar of programs, this interpreter's home, and the libraries that they need."""
    python = os.path.realpath(sys.executable)
    library = Path(sysconfig.get_path("stdlib"))
    programs = [found for name in _PROGRAMS if (found := shutil.which(name, path="/usr/bin:/bin"))]
    modules = [str(path) for path in library.rglob("*.so")]
    files = {*programs, python, str(Path(python).with_name("python3")), "/etc/ld.so.cache"}
    files.update(map(os.path.realpath, programs))
    libraries = set(_libraries([*programs, python, *modules]))
    files.update(libraries, _beside(libraries))
    files.update(str(path) for path in library.rglob("*") if path.is_file() and "/test/" not in str(path))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for folder in ("bin", "lib", "lib64", "sbin"):
            if os.path.islink(f"/{folder}"):
                link = tarfile.TarInfo(folder)
                link.type, link.linkname = tarfile.SYMTYPE, os.readlink(f"/{folder}")
                archive.addfile(link)
        for path in sorted(_in_usr(files)):
            archive.add(path, path.lstrip("/"), recursive=False)
    return buffer.getvalue()


def _libraries(programs: Iterable[str]) -> Iterator[str]:
    for program in programs:
        found = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        yield from re.findall(r"(/[^ )]+)", found)


def _beside(libraries: Iterable[str]) -> Iterator[str]:
    """Yield what packages that are bound into the container want besides: parts of glibc and of GCC."""
    for folder in {Path(os.path.realpath(library)).parent for library in libraries}:
        for pattern in (
            "librt.so.*",
            "libpthread.so.*",
            "libdl.so.*",
            "libutil.so.*",
            "libgcc_s.so.*",
            "libstdc++.so.*",
        ):
            yield from map(str, folder.glob(pattern))


def _in_usr(files: Iterable[str]) -> set[str]:
    """Name each file where it really is: /lib and /bin are links into /usr."""
    named = set()
    for path in files:
        folder = os.path.realpath(os.path.dirname(path))
        named.add(os.path.join(folder, os.path.basename(path)))
    return named
