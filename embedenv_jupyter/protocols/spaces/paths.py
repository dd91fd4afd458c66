"""Paths as frames spell them: ``project/utils.py``, from the folder one above ``project``.

That folder is the room's workspace, in which shell lines start. What is checked
here is the spelling; whether a symbolic link leads out is the sandbox's to see.
"""

from __future__ import annotations

from embedenv_jupyter.protocols.faults import FrameError, shown

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 255
PROJECT = "project"
"""The root folder of a deployed project in the published frames."""
WORKSPACE = "."


def workspace_path(text: str, field: str = "path", *, or_workspace: bool = False) -> str:
    """Return a path in its one normal form; ``or_workspace`` lets it be the workspace itself (``"."``).

    Raises:
        FrameError: it leads out, or no file system takes it.
    """
    if len(text) > MAX_PATH_BYTES or len(_utf8(text, field)) > MAX_PATH_BYTES:
        raise _refused(field, text, f"is longer than {MAX_PATH_BYTES} bytes")
    if "\0" in text:
        raise _refused(field, text, "holds a NUL character")
    if text.startswith("/"):
        raise _refused(field, text, "is absolute")
    names = [name for name in text.split("/") if name not in ("", ".")]
    if ".." in names:
        raise _refused(field, text, "holds '..'")
    if any(len(name.encode()) > MAX_NAME_BYTES for name in names):
        raise _refused(field, text, f"has a name of more than {MAX_NAME_BYTES} bytes")
    if not names and not or_workspace:
        raise _refused(field, text, "names no file or folder")
    return "/".join(names) or WORKSPACE


def base_name(text: str, field: str = "name") -> str:
    """Return a name as it is.

    Raises:
        FrameError: it is not one name of a file or folder.
    """
    if fault := fault_of_name(text):
        raise FrameError(f"{field} {shown(text)} {fault}")
    return text


def fault_of_name(text: str) -> str | None:
    """Say what keeps a text from being one file's or folder's name."""
    if text in ("", ".", ".."):
        return "is no name: it must not be empty, '.' or '..'"
    if "/" in text:
        return "is no name: it holds '/'"
    if "\0" in text:
        return "is no name: it holds a NUL character"
    if len(text) > MAX_NAME_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half of a surrogate pair, which is no character"
    return None


def _utf8(text: str, field: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _refused(field, text, "holds half of a surrogate pair, which is no character") from None


def _refused(field: str, text: str, fault: str) -> FrameError:
    return FrameError(
        f"{field} {shown(text)} {fault}; allowed are paths in the room's workspace such as 'project/main.py'"
    )
