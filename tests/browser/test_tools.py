"""The latency monitor, the wire inspector and the language board in JupyterLab, against a real gateway."""

from __future__ import annotations

import os
from typing import Any

import pytest

from embedenv_jupyter.languages.language import TOOLCHAINS
from tests.browser.conftest import COPIED, ServeLab, Shoot, Visit, execute

pytestmark = pytest.mark.timeout(240)


async def frames_of(page: Any) -> list[str]:
    texts: list[str] = await page.locator(".embedenv-Frame > button").all_inner_texts()
    return texts


async def test_latency_monitor_tells_of_each_connection(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot
) -> None:
    page = await visit(serve_lab())
    await execute(page, "embedenv:new-room", name="Workshop")
    await page.click(".embedenv-Status button")
    room = page.locator('.embedenv-LinkCard:has(h2:text-is("Room Workshop"))')
    await room.wait_for()
    await page.click('.jp-Toolbar-item:has-text("Measure the Engine")')
    engine = page.locator('.embedenv-LinkCard[data-link="engine"]')
    await engine.locator("polyline").wait_for(state="attached")
    assert (await engine.locator("dd").first.inner_text()).endswith(" ms")
    described = await engine.locator("svg desc").text_content()
    assert "pings between" in described
    await shoot(page, "latency-monitor")

    await page.click('.jp-Toolbar-item:has-text("Pause")')
    await page.wait_for_selector("text=Paused: what happens now is not counted.")
    await page.click('.jp-Toolbar-item:has-text("Reset")')
    await page.wait_for_function("() => !document.querySelector('.embedenv-PingGraph circle')")
    await page.click('.jp-Toolbar-item:has-text("Go On")')
    await engine.locator("circle").wait_for()


async def test_wire_inspector_shows_a_run_and_no_secret(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot
) -> None:
    page = await visit(serve_lab())
    await page.evaluate(COPIED)
    await execute(page, "embedenv:open-wire-inspector")
    await page.locator(".embedenv-Composer textarea").press("Shift+Enter")
    await page.wait_for_selector(".embedenv-Frame.embedenv-mod-in >> text=execution_time")
    shown = await frames_of(page)
    assert any('"api_key":"{{API_KEY}}"' in text for text in shown)
    spans = await page.locator(".embedenv-Timeline tr").evaluate_all("rows => rows.map(r => r.dataset.span)")
    assert spans == ["handshake", "submission", "silence", "output"]

    sent = page.locator(".embedenv-Frame.embedenv-mod-out").first
    await sent.locator("> button").click()
    secret = sent.locator(".embedenv-Secret")
    assert await secret.inner_text() == "{{API_KEY}}"
    await shoot(page, "wire-inspector")
    assert "tk_" not in await page.locator(".embedenv-Inspector").inner_text()
    await secret.click()
    assert (await secret.inner_text()).startswith("tk_")

    await sent.locator('button:has-text("Edit and send again")').click()
    box = page.locator(".embedenv-Composer textarea")
    edited = (await box.input_value()).replace("run-1", "again").replace("0.2", "0")
    assert "{{API_KEY}}" in edited
    await box.fill(edited)
    await box.press("Shift+Enter")
    await page.wait_for_selector('.embedenv-Frame.embedenv-mod-in:has-text("again") >> text=execution_time')
    for name in ("curl", "python", "javascript"):
        await execute(page, f"embedenv:wire-copy-as-{name}")
    copied = await page.evaluate("() => copied")
    assert [("API_KEY" in text, "tk_" in text) for text in copied] == [(True, False)] * 3


async def test_wire_inspector_speaks_the_other_protocols(serve_lab: ServeLab, visit: Visit) -> None:
    page = await visit(serve_lab())
    await execute(page, "embedenv:open-wire-inspector")
    protocol = page.locator('.embedenv-Inspector label:has-text("Protocol") select')
    box = page.locator(".embedenv-Composer textarea")
    for choice, seen in (("rest", '"exit_code":0'), ("stream", '"type":"result"')):
        await protocol.select_option(choice)
        await box.press("Shift+Enter")
        await page.wait_for_selector(f".embedenv-Frame.embedenv-mod-in:has-text('{seen}')")

    await protocol.select_option("spaces")
    await box.press("Shift+Enter")
    await page.wait_for_selector('.embedenv-Frame.embedenv-mod-in:has-text(\'"type":"init"\')')
    for sample in ("write", "shell"):
        await page.select_option(".embedenv-Composer select", sample)
        await box.press("Shift+Enter")
    await page.wait_for_selector('.embedenv-Frame.embedenv-mod-in:has-text("Hello from the wire")')
    await page.wait_for_selector('.embedenv-Frame.embedenv-mod-in:has-text("terminal-data-end")')

    room = await execute(page, "embedenv:new-room", name="Watched")
    await protocol.select_option("room")
    # Not by its label alone: that of the protocols has the word, too, and is there before.
    await page.locator('.embedenv-Inspector select:has(option:text-is("Watched"))').select_option(room)
    await box.press("Shift+Enter")
    await page.wait_for_selector('.embedenv-Frame.embedenv-mod-in:has-text(\'"token":"{{MEMBER_TOKEN}}"\')')
    assert "tell-nobody" not in await page.locator(".embedenv-Inspector").inner_text()


async def test_language_board_filters_tests_and_says_how_to_install(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot
) -> None:
    page = await visit(serve_lab("--EmbedenvApp.allow_install=False"))
    await page.click('.jp-LauncherCard[data-category="Embedenv"]:has-text("Languages")')
    row = page.locator('tr[data-language="python"]')
    await row.wait_for()
    await row.locator('button:has-text("Test")').click()
    await row.locator(".embedenv-mod-good").wait_for()
    assert "✓" in await row.inner_text()
    await shoot(page, "language-board")
    await page.fill(".embedenv-Languages input", "no such language")
    await page.wait_for_selector("text=No language is like this.")
    await page.fill(".embedenv-Languages input", "")
    await page.select_option(".embedenv-Languages select", "missing")
    install = page.locator('.embedenv-Languages button:has-text("Install…")')
    if await install.count() == 0:
        return  # all 59 are here
    await install.first.click()
    dialog = page.locator(".jp-Dialog")
    await dialog.locator("text=EmbedenvApp.allow_install").wait_for()
    assert "embedenv languages install " in await dialog.inner_text()
    assert await dialog.locator('button:has-text("Install")').count() == 0
    await shoot(page, "language-install")


HIDDEN = (
    *("unshare", "--mount", "sh", "-c"),
    f'mkdir -p {TOOLCHAINS} && mount -t tmpfs languages {TOOLCHAINS} && exec "$@"',
    "sh",
)
"""Runs a server that finds nothing where languages are installed; what it installs there goes with it."""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide what is installed")
async def test_a_language_is_installed_by_a_button_and_runs(
    serve_lab: ServeLab, visit: Visit, shoot: Shoot
) -> None:
    page = await visit(serve_lab(within=HIDDEN))
    await execute(page, "embedenv:open-language-board")
    row = page.locator('tr[data-language="wat"]')
    await row.locator('button:has-text("Install…")').click()
    dialog = page.locator(".jp-Dialog")
    await dialog.locator("text=The server can do this now").wait_for()
    assert "embedenv languages install wat" in await dialog.inner_text()
    await dialog.locator('button:has(:text-is("Install"))').click()
    await row.locator('button:has-text("Test")').click()
    await row.locator(".embedenv-mod-good").wait_for()
    assert "✓" in await row.inner_text()
    await shoot(page, "language-installed")
