"""A terminal of a room in JupyterLab: typed into, shared, looked at only, back after a reload, left by key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import ServeLab, Shoot, Visit, execute

pytestmark = pytest.mark.timeout(240)

SHOWS = """text => {
  const term = document.querySelector('.embedenv-RoomTerminal') &&
    [...jupyterapp.shell.widgets('main')].find(w => w.hasClass('embedenv-RoomTerminal'))?.content._term;
  if (!term) return false;
  const { active } = term.buffer;
  const lines = Array.from({ length: active.length }, (_, i) => active.getLine(i).translateToString(true));
  return lines.join('\\n').includes(text);
}"""


async def shows(page: Any, text: str) -> None:
    await page.wait_for_function(SHOWS, arg=text)


async def test_terminal_is_shared_and_comes_back(serve_lab: ServeLab, visit: Visit, shoot: Shoot) -> None:
    lab = serve_lab()
    ada = await visit(lab)
    room = await execute(ada, "embedenv:new-room", name="Workshop")
    await execute(ada, "embedenv:open-terminal", room=room)
    await ada.wait_for_selector(".embedenv-RoomTerminal .xterm-screen")
    await ada.click(".embedenv-RoomTerminal .xterm-screen")
    await ada.keyboard.type("echo $((6*7)) is the answer\n")
    await shows(ada, "42 is the answer")
    await shoot(ada, "terminal")
