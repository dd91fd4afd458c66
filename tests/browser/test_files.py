"""Files of a room in JupyterLab: edited by two at once, changed by programs, copied in, never lost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.browser.axe import Examination
from tests.browser.conftest import Lab, ServeLab, Shoot, Visit, execute

pytestmark = pytest.mark.timeout(240)

TEXT = """() => [...jupyterapp.shell.widgets('main')].at(-1).context.model.sharedModel.getSource()"""

PUT = """async ([room, path, content]) => {
  const { baseUrl, token } = jupyterapp.serviceManager.serverSettings;
  const answer = await fetch(`${baseUrl}embedenv/rooms/${room}/api/contents/${path}`, {
    method: 'PUT',
    headers: { Authorization: `token ${token}` },
    body: JSON.stringify(content === null
      ? { type: 'directory' }
      : { type: path.endsWith('.ipynb') ? 'notebook' : 'file', format: 'text', content }),
  });
  if (!answer.ok) throw new Error(await answer.text());
}"""

GET = """async ([room, path]) => {
  const { baseUrl, token } = jupyterapp.serviceManager.serverSettings;
  const headers = { Authorization: `token ${token}` };
  const answer = await fetch(`${baseUrl}embedenv/rooms/${room}/api/contents/${path}`, { headers });
  return (await answer.json()).content;
}"""


async def put(page: Any, room: str, path: str, content: object) -> None:
    """Write a file as somebody else does who does not have it open; ``None`` makes a folder."""
    await page.evaluate(PUT, [room, path, content])


async def open_file(page: Any, room: str, name: str) -> None:
    """Open a file by a double click in the room's file browser."""
    await execute(page, "embedenv:open-files", room=room)
    await page.locator(f"#embedenv-files-{room} .jp-DirListing-item", has_text=name).dblclick()


def notebook(source: str) -> dict[str, Any]:
    cell: dict[str, object] = {
        "cell_type": "code",
        "id": "one",
        "metadata": {},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}


async def two_visitors(lab: Lab, visit: Visit) -> tuple[Any, Any, str]:
    ada = await visit(lab, "lab/workspaces/ada?reset")
    room = await execute(ada, "embedenv:new-room", name="Workshop")
    bob = await visit(lab, "lab/workspaces/bob?reset")
    await bob.wait_for_selector('.jp-LauncherCard[title*="Workshop"]')
    return ada, bob, room


async def test_two_write_in_one_file(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    ada, bob, room = await two_visitors(serve_lab(), visit)
    await put(ada, room, "main.py", "print('begin')\nprint('end')\n")
    for page in (ada, bob):
        await open_file(page, room, "main.py")
        await page.wait_for_selector(".jp-FileEditor .cm-line:has-text('end')")
    await ada.click(".jp-FileEditor .cm-content")
    await ada.keyboard.press("Control+Home")
    await ada.keyboard.type("# by Ada\n")
    await bob.click(".jp-FileEditor .cm-content")
    await bob.keyboard.press("Control+End")
    await bob.keyboard.type("# by Bob\n")
    both = "# by Ada\nprint('begin')\nprint('end')\n# by Bob\n"
    for page in (ada, bob):
        await page.wait_for_function(f"text => ({TEXT})() === text", arg=both)
        await page.wait_for_selector(".embedenv-Caret-name")
    name = await bob.evaluate("() => jupyterapp.serviceManager.user.identity.display_name")
    assert await ada.locator(".embedenv-Caret-name").inner_text() == name
    await shoot(ada, "two-in-one-file")
    await ada.wait_for_function(
        f"async ([text, room]) => (await ({GET})([room, 'main.py'])) === text", arg=[both, room]
    )
    # Saved: the tab of the editor says so.
    await ada.wait_for_function(
        "() => [...jupyterapp.shell.widgets('main')].at(-1).context.model.dirty === false"
    )


RENAME = """async name => {
  const { path } = [...jupyterapp.shell.widgets('main')].at(-1).context;
  await jupyterapp.serviceManager.contents.rename(path, path.replace(/[^:]*$/, name));
}"""


async def test_shared_file_is_renamed_while_two_write(serve_lab: ServeLab, visit: Visit) -> None:
    ada, bob, room = await two_visitors(serve_lab(), visit)
    await put(ada, room, "draft.py", "begin = 1\n")
    for page in (ada, bob):
        await open_file(page, room, "draft.py")
        await page.wait_for_selector(".jp-FileEditor .cm-line:has-text('begin')")
    await ada.evaluate(RENAME, "final.py")
    await ada.wait_for_selector(".lm-TabBar-tab:has-text('final.py')")
    text = "begin = 1\n"
    for writer, line in ((ada, "by_ada = 2\n"), (bob, "by_bob = 3\n")):
        await writer.click(".jp-FileEditor .cm-content")
        await writer.keyboard.press("Control+End")
        await writer.keyboard.type(line)
        text += line
        for page in (ada, bob):
            await page.wait_for_function(f"text => ({TEXT})() === text", arg=text)
    await ada.wait_for_function(
        f"async ([text, room]) => (await ({GET})([room, 'final.py'])) === text", arg=[text, room]
    )
    listed = await ada.evaluate(f"async room => (await ({GET})([room, ''])).map(file => file.name)", room)
    assert "draft.py" not in listed


HAS_SETTLED = """() => document.querySelector('.jp-Dialog') !== null
  || [...jupyterapp.shell.widgets('main')].some(widget => widget.sessionContext?.isReady)"""
"""A notebook has its kernel, or JupyterLab asks for one, and would take what is typed next."""


async def test_conflict_is_shown_before_anything_is_lost(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot
) -> None:
    ada = await visit(serve_lab())
    room = await execute(ada, "embedenv:new-room", name="Workshop")
    await put(ada, room, "work.ipynb", notebook("first = 1"))
    await open_file(ada, room, "work.ipynb")
    await ada.wait_for_selector(".jp-Notebook .cm-content")
    await ada.wait_for_function(HAS_SETTLED)
    if await ada.locator(".jp-Dialog:has-text('Select Kernel')").count():
        await ada.click(".jp-Dialog .jp-mod-reject")
    await ada.click(".jp-Notebook .cm-content")
    await ada.keyboard.type("mine = 2\n")
    await put(ada, room, "work.ipynb", notebook("theirs = 3"))
    await ada.evaluate("() => { void jupyterapp.commands.execute('docmanager:save'); }")
    await ada.click(".jp-Dialog >> text=Show differences")
    await ada.wait_for_selector(".embedenv-Differences .cm-mergeView >> text=theirs = 3")
    await ada.wait_for_selector(".embedenv-Differences .cm-mergeView >> text=mine = 2")
    examination = Examination(ada, shoot)
    await examination.look("conflict", ".embedenv-Differences")
    assert examination.problems == []
    await ada.click(".jp-Dialog >> text=Revert")
    await ada.wait_for_selector(".jp-Notebook .cm-line:has-text('theirs = 3')")
    kept = await ada.evaluate(GET, [room, "work.ipynb"])
    assert kept["cells"][0]["source"] == "theirs = 3", json.dumps(kept)


async def test_programs_change_files(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    page = await visit(serve_lab())
    room = await execute(page, "embedenv:new-room", name="Workshop")
    await put(page, room, "main.py", "print('old')\n")
    await open_file(page, room, "main.py")
    await page.wait_for_selector(".jp-FileEditor .cm-line:has-text('old')")
    await execute(page, "embedenv:open-terminal", room=room)
    await page.click(".embedenv-RoomTerminal .xterm-screen")
    await page.keyboard.type("echo \"print('new')\" > main.py; echo 1,2 > table.csv\n")
    await page.wait_for_selector(f"#embedenv-files-{room} .jp-DirListing-item:has-text('table.csv')")
    await page.wait_for_function(
        "() => [...jupyterapp.shell.widgets('main')].some(w => w.context?.model.toString().includes('new'))"
    )
    await shoot(page, "files")


async def test_file_is_opened_in_a_room(serve_lab: ServeLab, visit: Visit) -> None:
    lab = serve_lab()
    (lab.folder / "lesson.py").write_text("print('from the server')\n")
    page = await visit(lab)
    room = await execute(page, "embedenv:new-room", name="Workshop")
    await execute(page, "filebrowser:activate")
    item = page.locator("#filebrowser .jp-DirListing-item", has_text="lesson.py")
    await item.click(button="right")
    await page.click(".lm-Menu-item[data-command='embedenv:open-in-room']")
    await page.wait_for_selector(".jp-FileEditor .cm-line:has-text('from the server')")
    assert await page.evaluate(GET, [room, "lesson.py"]) == "print('from the server')\n"


async def drag(page: Any, item: Any, target: Any) -> None:
    """Drag something in small steps, as a hand does."""
    await item.scroll_into_view_if_needed()
    (start, end) = (await item.bounding_box(), await target.bounding_box())
    await page.mouse.move(start["x"] + 20, start["y"] + start["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(end["x"] + end["width"] / 2, end["y"] + max(end["height"] - 30, 8), steps=20)
    await page.mouse.up()


async def test_files_are_dragged_into_a_room_and_out_of_it(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot
) -> None:
    lab = serve_lab()
    (lab.folder / "lesson.py").write_text("print('from the server')\n")
    (lab.folder / "notes.txt").write_text("notes\n")
    page = await visit(lab)
    room = await execute(page, "embedenv:new-room", name="Workshop")
    await put(page, room, "answer.py", "print('from the room')\n")
    await execute(page, "embedenv:open-files", room=room)
    # Both are in sight where one of them is moved to the right.
    await page.evaluate(
        """room => {
          const { shell } = jupyterapp;
          const id = `embedenv-files-${room}`;
          shell.add([...shell.widgets('left')].find(one => one.id === id), 'right');
          shell.activateById(id);
        }""",
        room,
    )
    await execute(page, "filebrowser:activate")
    here, there = page.locator("#filebrowser"), page.locator(f"#embedenv-files-{room}")
    await drag(
        page,
        here.locator(".jp-DirListing-item", has_text="lesson.py"),
        there.locator(".jp-DirListing-content"),
    )
    await there.locator(".jp-DirListing-item", has_text="lesson.py").wait_for()
    # A crumb names no drive: JupyterLab alone would move the file to that folder of the server.
    await put(page, room, "sub", None)
    await there.locator(".jp-DirListing-item", has_text="sub").dblclick()
    await there.locator(".jp-BreadCrumbs-item", has_text="sub").wait_for()
    await drag(
        page,
        here.locator(".jp-DirListing-item", has_text="notes.txt"),
        there.locator(".jp-BreadCrumbs-home"),
    )
    await page.wait_for_function(
        f"async ([room]) => (await ({GET})([room, 'notes.txt'])) === 'notes\\n'", arg=[room]
    )
    assert (lab.folder / "notes.txt").read_text() == "notes\n"
    await there.locator(".jp-BreadCrumbs-home").click()
    assert await page.evaluate(GET, [room, "lesson.py"]) == "print('from the server')\n"
    await drag(
        page,
        there.locator(".jp-DirListing-item", has_text="answer.py"),
        here.locator(".jp-DirListing-content"),
    )
    await here.locator(".jp-DirListing-item", has_text="answer.py").wait_for()
    assert (lab.folder / "answer.py").read_text() == "print('from the room')\n"
    await shoot(page, "dragged")
