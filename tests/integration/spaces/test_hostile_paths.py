"""Files that lead out, that block, or that change while they are written: the room's own view holds."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.spaces.peers import Asking

MADE = r"""
set -e
mkdir -p project/full/sub /tmp/outside
echo secret > /tmp/outside/secret
echo x > project/file
ln -s /etc/passwd project/passwd
ln -s /tmp/outside project/out
ln -s ../../../../tmp/outside/secret project/up
ln -s /dev/zero project/zero
ln -s loop project/loop
ln -s file project/inside
mkfifo project/fifo
python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('project/socket')"
"""

Case = tuple[str, dict[str, Any], str]

REFUSED: dict[str, Case] = {
    "write through a link to a folder": ("write", {"path": "project/out/x", "content": ""}, "leads out"),
    "write over a link to a file": ("write", {"path": "project/passwd", "content": ""}, "symbolic link"),
    "write over a relative link": ("write", {"path": "project/up", "content": ""}, "symbolic link"),
    "write over a link inside": ("write", {"path": "project/inside", "content": ""}, "symbolic link"),
    "write over a FIFO": ("write", {"path": "project/fifo", "content": ""}, "not a regular file"),
    "write over a socket": ("write", {"path": "project/socket", "content": ""}, "not a regular file"),
    "write over a folder": ("write", {"path": "project/full", "content": ""}, "folder"),
    "write below a file": ("write", {"path": "project/file/x", "content": ""}, "not a folder"),
    "write in a loop": ("write", {"path": "project/loop/x", "content": ""}, "symbolic link"),
    "write to /proc": ("write", {"path": "project/../proc/1/mem", "content": ""}, "'..'"),
    "read through a link": ("read", {"path": "project/out/secret"}, "leads out"),
    "read a link out": ("read", {"path": "project/passwd"}, "leads out"),
    "read a relative link out": ("read", {"path": "project/up"}, "leads out"),
    "read a FIFO": ("read", {"path": "project/fifo"}, "not a regular file"),
    "read a device": ("read", {"path": "project/zero"}, "leads out"),
    "read a folder": ("read", {"path": "project/full"}, "folder"),
    "read in a loop": ("read", {"path": "project/loop"}, "symbolic link"),
    "read nothing": ("read", {"path": "project/none"}, "no such file"),
    "list out": ("list", {"path": "project/out"}, "leads out"),
    "list a file": ("list", {"path": "project/file"}, "not a folder"),
    "rename out": ("rename", {"path": "project/out/secret", "name": "mine"}, "leads out"),
    "rename over a file": ("rename", {"path": "project/file", "name": "full"}, "already"),
    "delete out": ("delete", {"path": "project/out/secret"}, "leads out"),
}


async def test_paths_that_lead_out_or_block_are_refused_with_a_reason(member: Asking) -> None:
    output, ended = await member.run(MADE)
    assert ended["code"] == 0, output
    for name, (kind, fields, reason) in REFUSED.items():
        answer = await member.ask(kind, **fields)
        assert answer["type"] == "error", (name, answer)
        assert reason in answer["message"], (name, answer)
        if kind == "read":
            assert (await member.peer.receive())["type"] == "end", name
    for inner in ({"item": "file", "path": "project/out/x"}, {"item": "folder", "path": "project/out/y"}):
        answer = await member.ask("create", inner)
        assert "leads out" in answer["message"]
    tree = {"name": "project", "type": "folder", "children": [{"name": "out", "type": "folder", "children": [
        {"name": "planted", "type": "file", "content": "x"}]}]}  # fmt: skip
    answer = await member.ask("project", file_structure=json.dumps(tree))
    assert answer["type"] in ("msg", "error")  # a folder may take the place of a link, or be refused
    output, _ = await member.run("ls /tmp/outside; cat /tmp/outside/secret; head -c 4 /etc/passwd")
    assert output == "secret\nsecret\nroot\n" or output == "secret\nsecret\nroot", output


SWAPPING = r"""
import os, sys
os.makedirs("project/a", exist_ok=True)
os.makedirs("/tmp/outside", exist_ok=True)
os.symlink("/tmp/outside", "project/link")
print("swapping", flush=True)
AT_FDCWD, EXCHANGE = -100, 2
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
while not os.path.exists("project/stop"):
    libc.renameat2(AT_FDCWD, b"project/a", AT_FDCWD, b"project/link", EXCHANGE)
"""


async def test_a_link_swapped_in_while_files_are_written_leads_nowhere(member: Asking) -> None:
    await member.command("write", path="swap.py", content=SWAPPING)
    await member.shell("python3 swap.py")
    await member.until(type="terminal-data", data="swapping")
    answers = []
    for number in range(150):
        path = f"project/a/{number}"
        answers.append(await member.ask("write", path=path, content="x" * 1000))
        answers.append(await member.ask("delete", path=path))
        answers.append(await member.ask("create", {"item": "folder", "path": f"{path}d/e"}))
    assert {answer["type"] for answer in answers} == {"done", "error"}, "the race must go both ways"
    assert any("leads out" in answer.get("message", "") for answer in answers)
    await member.command("write", path="project/stop", content="")
    await member.until(type="exit")
    output, _ = await member.run("ls -A /tmp/outside | wc -l")
    assert output == "0\n"


async def test_names_that_are_not_unicode_are_shown_and_break_nothing(member: Asking) -> None:
    await member.run(r"mkdir odd; cd odd; touch $'\xff\xfe' $'new\nline' 'ünïcode' $'\t'")
    listing = await member.ask("list", path="odd")
    names = {entry["name"] for entry in listing["entries"]}
    assert {"new\nline", "ünïcode", "\t"} < names
    assert any("\ufffd" in name for name in names)
    for name in ("new\nline", "ünïcode", "\t"):
        assert (await member.ask("delete", path=f"odd/{name}"))["type"] == "done"
