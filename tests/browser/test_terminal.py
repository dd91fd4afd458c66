"""A terminal of a room in JupyterLab: shared, looked at only, back after a reload, left by a key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import ServeLab, Shoot, Visit, execute

pytestmark = pytest.mark.timeout(240)

TERMINAL = "[...jupyterapp.shell.widgets('main')].find(w => w.hasClass('embedenv-RoomTerminal'))"

SHOWS = """text => {
  const widget = [...jupyterapp.shell.widgets('main')].find(w => w.hasClass('embedenv-RoomTerminal'));
  const active = widget?.content._term?.buffer.active;
  if (!active) return false;
  const line = index => active.getLine(index).translateToString(true);
  return Array.from({ length: active.length }, (_, index) => line(index)).join('\\n').includes(text);
}"""


async def shows(page: Any, text: str) -> None:
    await page.wait_for_function(SHOWS, arg=text)


async def type_line(page: Any, text: str) -> None:
    await page.click(".embedenv-RoomTerminal .xterm-screen")
    await page.keyboard.type(f"{text}\n")


async def key_to_look(page: Any, room: str) -> str:
    """Make a join key with the role `view`."""
    key: str = await page.evaluate(
        """async room => {
          const { baseUrl, token } = jupyterapp.serviceManager.serverSettings;
          const answer = await fetch(`${baseUrl}embedenv/api/rooms/${room}/keys`, {
            method: 'POST',
            headers: { Authorization: `token ${token}` },
            body: JSON.stringify({ role: 'view' }),
          });
          return (await answer.json()).join;
        }""",
        room,
    )
    return key


async def test_terminal_is_shared_and_comes_back(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab()
    ada = await visit(lab, "lab/workspaces/ada?reset")
    room = await execute(ada, "embedenv:new-room", name="Workshop")
    await execute(ada, "embedenv:open-terminal", room=room)
    await ada.wait_for_selector(".embedenv-RoomTerminal .xterm-screen")
    await type_line(ada, "echo $((6*7)) is the answer")
    await shows(ada, "42 is the answer")

    bob = await visit(lab, "lab/workspaces/bob?reset")
    await bob.wait_for_selector('.jp-LauncherCard[title*="Workshop"]')
    await execute(bob, "embedenv:open-terminal", room=room, name="1")
    await shows(bob, "42 is the answer")
    await type_line(bob, "echo $((6*6)) from Bob")
    await shows(ada, "36 from Bob")
    await shoot(ada, "terminal")

    await ada.goto(ada.url.replace("?reset", ""))
    await shows(ada, "36 from Bob")
    await type_line(ada, "echo $((6*5)) after the reload")
    await shows(bob, "30 after the reload")


async def test_keyboard_leaves_terminal(serve_lab: ServeLab, visit: Visit) -> None:
    page = await visit(serve_lab())
    room = await execute(page, "embedenv:new-room", name="Workshop")
    await execute(page, "embedenv:open-terminal", room=room)
    await page.click(".embedenv-RoomTerminal .xterm-screen")
    described = await page.evaluate(
        """() => {
          const ids = document.activeElement.getAttribute('aria-describedby').split(' ');
          return ids.map(id => document.getElementById(id).textContent).join(' ');
        }"""
    )
    assert "Ctrl+F6 leaves the terminal" in described
    await page.keyboard.press("Tab")
    assert await page.evaluate("() => document.activeElement.tagName") == "TEXTAREA"
    await page.keyboard.press("Control+F6")
    tab = "() => document.activeElement.closest('.lm-TabBar-tab')?.textContent ?? ''"
    assert "Workshop: terminal 1" in await page.evaluate(tab)


async def test_who_may_only_look_sees_that(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab()
    ada = await visit(lab, "lab/workspaces/ada?reset")
    room = await execute(ada, "embedenv:new-room", name="Workshop")
    await execute(ada, "embedenv:open-terminal", room=room)
    await type_line(ada, "echo $((6*7)) is the answer")
    await shows(ada, "42 is the answer")
    eve = await visit(lab, "lab/workspaces/eve?reset")
    await execute(eve, "embedenv:join-room", key=await key_to_look(ada, room))
    await execute(eve, "embedenv:open-terminal", room=room)
    await shows(eve, "42 is the answer")
    await eve.wait_for_selector("text=View only")
    await type_line(eve, "echo $((6*6)) from Eve")
    await shows(eve, "You came in to look")
    await type_line(ada, "echo $((6*5)) from Ada")
    await shows(ada, "30 from Ada")
    assert not await ada.evaluate(SHOWS, "36 from Eve")
    await shoot(eve, "terminal-view-only")


async def test_open_terminal_has_the_role_of_a_join_key(serve_lab: ServeLab, visit: Visit) -> None:
    page = await visit(serve_lab())
    room = await execute(page, "embedenv:new-room", name="Workshop")
    await execute(page, "embedenv:open-terminal", room=room)
    await type_line(page, "echo $((6*7)) as the owner")
    await shows(page, "42 as the owner")
    await page.evaluate(f"() => {{ window.opened = {TERMINAL}; }}")

    await execute(page, "embedenv:join-room", key=await key_to_look(page, room))
    await page.wait_for_selector("text=View only")
    await page.wait_for_function(f"() => ({TERMINAL}).session.connectionStatus === 'connected'")
    assert await page.evaluate(f"() => {TERMINAL} === window.opened")
    await type_line(page, "echo $((6*6)) as a guest")
    await shows(page, "You came in to look")
    assert not await page.evaluate(SHOWS, "36 as a guest")
