"""What becomes of rooms and their members: copies, restarts, ends, other roles; and what people are told."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PANEL, ServeLab, Shoot, Visit, execute
from tests.browser.test_files import GET, put
from tests.browser.test_terminal import shows, type_line

pytestmark = pytest.mark.timeout(240)

MIB = 1 << 20

ASK = """async ([method, path, body]) => {
  const { baseUrl, token } = jupyterapp.serviceManager.serverSettings;
  const headers = { Authorization: `token ${token}` };
  const init = { method, headers, ...(body === null ? {} : { body: JSON.stringify(body) }) };
  const answer = await fetch(`${baseUrl}embedenv/api/${path}`, init);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}"""


async def choose(page: Any, room: str, action: str) -> None:
    """Choose an action of a room in its menu."""
    await page.click(f"{PANEL} [data-room='{room}'] button[aria-haspopup=menu]")
    await page.click(f'.lm-Menu-itemLabel >> text="{action}"')


async def room_called(page: Any, name: str, *others: str) -> str:
    """Wait for a room of this name that is none of the others."""
    handle = await page.wait_for_function(
        """([panel, name, others]) => [...document.querySelectorAll(`${panel} .embedenv-Room`)]
          .filter(room => room.querySelector('.embedenv-Room-name').textContent === name)
          .map(room => room.dataset.room).find(id => !others.includes(id))""",
        arg=[PANEL, name, others],
    )
    return str(await handle.json_value())


async def toast(page: Any, text: str) -> Any:
    """Wait for a notification, which may have gone from sight already but is kept."""
    found = page.locator(".Toastify__toast", has_text=text)
    await found.first.wait_for(state="attached")
    return found.first


async def test_what_becomes_of_a_room_and_what_people_are_told_of_it(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot, tmp_path: Path
) -> None:
    page = await visit(serve_lab("--EmbedenvApp.idle_s=100"))
    await execute(page, "embedenv:show-rooms")
    await files_outlive_programs(page, shoot, tmp_path)
    await room_is_left_and_stopped(page, shoot)
    room = await memory_ran_out(page, shoot)
    await idle_room_is_kept(page, room, shoot)
    await credits_run_low(page)


async def files_outlive_programs(page: Any, shoot: Shoot, folder: Path) -> None:
    room = await execute(page, "embedenv:new-room", name="Workshop")
    await put(page, room, "notes.txt", "kept\n")
    await execute(page, "embedenv:open-terminal", room=room)
    await page.wait_for_selector(".embedenv-RoomTerminal .xterm-screen")

    async with page.expect_download() as downloading:
        await choose(page, room, "Download Snapshot")
    download = await downloading.value
    assert download.suggested_filename == "Workshop.tar"
    await download.save_as(folder / "snapshot.tar")
    with tarfile.open(folder / "snapshot.tar") as archive:
        notes = next(member for member in archive if member.name.endswith("notes.txt"))
        found = archive.extractfile(notes)
        assert found is not None and found.read() == b"kept\n"

    await choose(page, room, "Fork Room…")
    await page.locator(".jp-Dialog input").fill("Branch")
    await page.click('.jp-Dialog button:has-text("Fork")')
    fork = await room_called(page, "Branch")
    assert await page.evaluate(GET, [fork, "notes.txt"]) == "kept\n"
    await put(page, fork, "notes.txt", "changed in the fork\n")
    assert await page.evaluate(GET, [room, "notes.txt"]) == "kept\n"

    await execute(page, "docmanager:open", path="Room-Workshop:notes.txt")
    await page.wait_for_selector(".jp-FileEditor .cm-line:has-text('kept')")
    await page.click(".jp-FileEditor .cm-content")
    await page.keyboard.press("Control+Home")
    await page.keyboard.type("before the restart\n")
    await choose(page, room, "Restart Room…")
    await page.locator(".jp-Dialog >> text=All programs and kernels").wait_for()
    await page.click('.jp-Dialog button:has-text("Restart")')
    again = await room_called(page, "Workshop", room)
    await page.wait_for_selector(".embedenv-RoomTerminal", state="detached")
    # The file is open in the room that goes on, and what is typed gets there.
    await page.wait_for_selector(".jp-FileEditor .cm-line:has-text('before the restart')")
    await page.click(".jp-FileEditor .cm-content")
    await page.keyboard.press("Control+Home")
    await page.keyboard.type("after the restart\n")
    await page.wait_for_function(
        f"async ([room, text]) => (await ({GET})([room, 'notes.txt'])) === text",
        arg=[again, "after the restart\nbefore the restart\nkept\n"],
    )
    assert await page.locator(".Toastify__toast:has-text('not shared any more')").count() == 0
    assert await page.locator(".Toastify__toast:has-text('You are out of')").count() == 0
    await page.wait_for_selector(f"{PANEL} .embedenv-Ended li:has-text('Workshop') >> text=restarted")
    await shoot(page, "restarted")


async def room_is_left_and_stopped(page: Any, shoot: Shoot) -> None:
    """Leave a room that much is open of, then end it from inside; nobody is told what oneself does."""
    room = await room_called(page, "Workshop")
    await execute(page, "embedenv:open-terminal", room=room)
    await page.wait_for_selector(".embedenv-RoomTerminal .xterm-screen")
    await choose(page, room, "Leave Room")
    await page.locator(".jp-Dialog >> text=is saved and closed").wait_for()
    await shoot(page, "leave")
    await page.click('.jp-Dialog button:has-text("Leave")')
    await page.wait_for_selector(".embedenv-RoomTerminal", state="detached")
    await page.wait_for_selector(".jp-FileEditor", state="detached")
    await page.wait_for_function(
        f"async ([room]) => (await ({ASK})(['GET', `rooms/${{room}}`, null])).members.length === 0",
        arg=[room],
    )
    await execute(page, "embedenv:enter-room", room=room)
    await choose(page, room, "Stop Room…")
    await page.click('.jp-Dialog button:has-text("Stop")')
    await page.wait_for_selector(f"{PANEL} [data-room='{room}']", state="detached")
    await page.wait_for_selector(f"{PANEL} .embedenv-Ended li:has-text('Workshop') >> text=stopped")


async def memory_ran_out(page: Any, shoot: Shoot) -> str:
    """Let a program take too much, and start its room anew with more; returns the new room."""
    limits = {"memory_bytes": 64 * MIB}
    room = (await page.evaluate(ASK, ["POST", "rooms", {"name": "Small", "limits": limits}]))["id"]
    await room_called(page, "Small")
    await execute(page, "embedenv:enter-room", room=room)
    await put(page, room, "notes.txt", "kept\n")
    await execute(page, "embedenv:open-terminal", room=room)
    await type_line(page, "python3 -c 'print(len(bytearray(10**9)))'")
    told = await toast(page, "64 MiB of memory ran out")
    # What the room before was ended by would have been told by now.
    for text in ("Workshop has ended", "You are out of", "not shared any more"):
        assert await page.locator(f".Toastify__toast:has-text('{text}')").count() == 0, text
    await shoot(page, "memory-ran-out")
    await told.locator("text=Restart with more memory").click()
    await page.locator(".jp-Dialog >> text=128 MiB").wait_for()
    await page.click('.jp-Dialog button:has-text("Restart")')
    again = await room_called(page, "Small", room)
    await page.wait_for_selector(f"{PANEL} [data-room='{again}'] >> text=of 128 MiB")
    assert await page.evaluate(GET, [again, "notes.txt"]) == "kept\n"
    await (await toast(page, "Small has ended")).locator("text=How it ended").click()
    post_mortem = page.locator(".embedenv-PostMortem")
    await post_mortem.wait_for()
    shown = await post_mortem.inner_text()
    assert "oom" in shown and "restarted" in shown and "of 64 MiB" in shown
    await shoot(page, "post-mortem")
    await page.keyboard.press("Escape")
    return again


async def idle_room_is_kept(page: Any, room: str, shoot: Shoot) -> None:
    # Nobody is in it from now on, so its last 100 s are counted down.
    await execute(page, "embedenv:leave-room", room=room)
    told = await toast(page, "Small stops in")
    await shoot(page, "idle-countdown")
    await told.locator("text=Keep for an hour").click()
    await toast(page, "Small is kept for")
    await page.wait_for_selector(".Toastify__toast:has-text('Small stops in')", state="detached")
    stop_at = (await page.evaluate(ASK, ["GET", f"rooms/{room}", None]))["idle_stop_at"]
    assert stop_at > await page.evaluate("() => Date.now() / 1000") + 3500


async def credits_run_low(page: Any) -> None:
    # The account of a server's own users has no limit, so what the server says of it is filled in here.
    async def nearly_broke(route: Any) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, body=json.dumps({**await answer.json(), "credits": 3}))

    await page.route(re.compile(r"/embedenv/api/account(\?|$)"), nearly_broke)
    await execute(page, "embedenv:new-room", name="One more")
    await toast(page, "Only 3 credits are left")
    await page.wait_for_selector(f"{PANEL} >> text=3 credits left")


async def test_a_role_changes_while_somebody_types(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab()
    owner = await visit(lab, "lab/workspaces/owner?reset", name="Bob", color="#2563eb")
    room = await execute(owner, "embedenv:new-room", name="Workshop")
    await put(owner, room, "main.py", "print('here')\n")
    await execute(owner, "embedenv:show-rooms")
    key = (await owner.evaluate(ASK, ["POST", f"rooms/{room}/keys", {"role": "edit"}]))["join"]
    ada = await visit(lab, "lab/workspaces/ada?reset", name="Ada", color="#e11d48")
    await execute(ada, "embedenv:join-room", key=key)
    await execute(ada, "docmanager:open", path="Room-Workshop:main.py")
    await ada.click(".jp-FileEditor .cm-content")
    await ada.keyboard.press("Control+Home")
    await ada.keyboard.type("# by Ada\n")
    await execute(ada, "embedenv:open-terminal", room=room)
    await type_line(ada, "echo $((6*7)) by Ada")
    await shows(ada, "42 by Ada")
    await ada.keyboard.type("echo $((6*6)) ha")  # and in the midst of a line

    async def make(role: str) -> None:
        await owner.click(f'{PANEL} .embedenv-Members li:has-text("Ada") button[title^="Change what"]')
        await owner.select_option(".jp-Dialog select", role)
        await owner.click('.jp-Dialog button:has-text("Change")')
        await owner.wait_for_selector(".jp-Dialog", state="detached")

    await make("may look")
    await toast(ada, "you may only look")
    await ada.wait_for_selector("text=View only")
    await ada.keyboard.type("lf\n")
    await shows(ada, "You came in to look")
    await shoot(ada, "role-taken")
    await ada.click(".lm-TabBar-tab:has-text('main.py')")
    editor = ada.locator(".jp-FileEditor .cm-content")
    await ada.wait_for_selector('.jp-FileEditor .cm-content[aria-readonly="true"]')
    await editor.click()
    await ada.keyboard.type("# not any more\n")
    assert "not any more" not in await editor.inner_text()
    await ada.wait_for_selector(".jp-FileEditor >> text=View only")
    await shoot(ada, "role-taken-file")
    assert "not any more" not in await owner.evaluate(GET, [room, "main.py"])

    await make("may run and edit")
    await ada.wait_for_selector(".jp-FileEditor >> text=View only", state="detached")
    await editor.click()
    await ada.keyboard.type("# again\n")
    await owner.wait_for_function(
        f"async room => (await ({GET})([room, 'main.py'])).includes('# again')", arg=room
    )
