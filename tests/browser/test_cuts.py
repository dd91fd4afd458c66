"""Connections of a page that are cut while programs of a room write, and a server that starts anew."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import TOKEN, Lab, ServeLab, Shoot, Visit, execute
from tests.browser.proxy import Cut, cuttable

pytestmark = pytest.mark.timeout(300)

CUT_S = 20
LINES = 300
"""A tenth of a second apart: the cut is in the midst of them."""

TERMINAL_TEXT = """() => {
  const widget = [...jupyterapp.shell.widgets('main')].find(w => w.hasClass('embedenv-RoomTerminal'));
  const active = widget?.content._term?.buffer.active;
  if (!active) return '';
  const line = index => active.getLine(index).translateToString(true);
  return Array.from({ length: active.length }, (_, index) => line(index)).join('\\n');
}"""
CELL_TEXT = """() => {
  const panel = [...jupyterapp.shell.widgets('main')].find(w => w.hasClass('jp-NotebookPanel'));
  const outputs = panel?.content.widgets[0].model.sharedModel.getOutputs() ?? [];
  return outputs.map(output => [output.text ?? output.traceback ?? ''].flat().join('')).join('');
}"""
HAS_KERNEL = """() => {
  const panel = [...jupyterapp.shell.widgets('main')].find(w => w.hasClass('jp-NotebookPanel'));
  return panel?.sessionContext.session?.kernel?.status === 'idle';
}"""
STATUS = "() => document.querySelector('.embedenv-Status button')?.getAttribute('aria-label') ?? ''"
IS_CONNECTED = f"() => ({STATUS})().startsWith('Embedenv: connected')"
SAYS_LOST = f"() => /^Embedenv: (Connecting|Reconnecting|Lost)/.test(({STATUS})())"


def numbers(text: str, word: str) -> list[int]:
    return [int(number) for number in re.findall(rf"^{word} (\d+)$", text, re.MULTILINE)]


async def wait_for_line(page: Any, text: str, line: str) -> None:
    await page.wait_for_function(
        f"line => ({text})().split('\\n').some(each => each.trim() === line)", arg=line
    )


async def run_in_first_cell(page: Any, source: str) -> None:
    await page.wait_for_function(HAS_KERNEL)
    await page.click(".jp-NotebookPanel .jp-Cell .cm-content")
    await page.keyboard.insert_text(source)
    await page.keyboard.press("Control+Enter")


@pytest.mark.parametrize("how", ["closed", "silent"])
async def test_nothing_is_lost_nor_doubled_by_a_cut(serve_lab: ServeLab, visit: Visit, how: Cut) -> None:
    async with cuttable(serve_lab()) as (proxy, lab):
        page = await visit(lab)
        room = await execute(page, "embedenv:new-room", name="Workshop")
        await execute(page, "embedenv:open-terminal", room=room)
        await page.wait_for_selector(".embedenv-RoomTerminal .xterm-screen")
        await page.wait_for_function(IS_CONNECTED)
        await execute(page, "embedenv:new-notebook", room=room)
        await run_in_first_cell(
            page,
            f"import time\nfor i in range({LINES}): time.sleep(0.1); print('cell', i, flush=True)",
        )
        await wait_for_line(page, CELL_TEXT, "cell 5")
        await page.click(".lm-TabBar-tab:has-text('terminal 1')")
        await page.click(".embedenv-RoomTerminal .xterm-screen")
        loop = f"for i in $(seq 0 {LINES - 1}); do echo term $i; sleep 0.1; done"
        await page.keyboard.type(f"{loop}\n")
        await wait_for_line(page, TERMINAL_TEXT, "term 5")

        assert proxy.cut(how) > 0
        mending = asyncio.get_running_loop().call_later(CUT_S, proxy.mend)
        try:
            await page.wait_for_function(SAYS_LOST)
            assert not proxy.is_through, "this was said only when all was well again"
            await page.wait_for_function(IS_CONNECTED)
        finally:
            mending.cancel()
        await wait_for_line(page, TERMINAL_TEXT, f"term {LINES - 1}")
        await wait_for_line(page, CELL_TEXT, f"cell {LINES - 1}")
        assert numbers(await page.evaluate(TERMINAL_TEXT), "term") == list(range(LINES))
        assert numbers(await page.evaluate(CELL_TEXT), "cell") == list(range(LINES))
        told = await page.inner_text(".embedenv-Status-state")
        assert told == "", "events were missed"


NOTE_TOASTS = """() => {
  window.toasts = [];
  new MutationObserver(() => {
    toasts.push(...[...document.querySelectorAll('.jp-toast-message')].map(toast => toast.textContent));
  }).observe(document.body, { childList: true, subtree: true });
}"""
"""Keeps what notifications say in ``toasts``: some go by themselves."""


@pytest.mark.parametrize(
    ("how", "told"),
    [(signal.SIGTERM, "ended: gateway stopped"), (signal.SIGKILL, "Before is gone")],
)
async def test_page_comes_back_with_its_server(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot, how: signal.Signals, told: str
) -> None:
    lab = serve_lab()
    page = await visit(lab)
    await execute(page, "embedenv:show-rooms")
    room = await execute(page, "embedenv:new-room", name="Before")
    await execute(page, "embedenv:open-terminal", room=room)
    await page.wait_for_selector(".embedenv-RoomTerminal .xterm-screen")
    await execute(page, "embedenv:new-notebook", room=room)
    await run_in_first_cell(page, "print(6 * 7)")
    await wait_for_line(page, CELL_TEXT, "42")

    await page.evaluate(NOTE_TOASTS)
    lab.stop(how)
    await page.wait_for_function(SAYS_LOST)
    await page.wait_for_selector(".embedenv-RoomsPanel >> text=No connection to the gateway")
    serve_lab("--ServerApp.port_retries=0", port=urlsplit(lab.url).port)
    await page.wait_for_function(IS_CONNECTED)
    await page.wait_for_selector(".embedenv-RoomsPanel >> text=No room is open")
    assert await page.locator('.embedenv-Room:has-text("Before")').count() == 0
    await page.wait_for_function("told => toasts.some(text => text.includes(told))", arg=told)
    # Nobody is left to reconnect to.
    await page.wait_for_selector(".embedenv-RoomTerminal", state="detached")
    await shoot(page, "server-back")

    room = await execute(page, "embedenv:new-room", name="After")
    await page.wait_for_selector('.embedenv-Room:has-text("After")')
    await execute(page, "embedenv:open-terminal", room=room)
    assert await room_names(page, lab) == ["After"]


async def room_names(page: Any, lab: Lab) -> list[str]:
    """Ask the server itself which rooms there are."""
    answer = await page.request.get(
        f"{lab.url}embedenv/api/rooms", headers={"Authorization": f"token {TOKEN}"}
    )
    return [room["name"] for room in await answer.json()]
