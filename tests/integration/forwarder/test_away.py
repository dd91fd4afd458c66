"""While the room cannot be reached, the notebook says so, and nothing waits for ever."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from embedenv_jupyter.client.backoff import Retry
from tests.integration.forwarder.conftest import parent_of, text_of
from tests.integration.forwarder.relayed import Switch, relayed
from tests.integration.own_gateway import OwnGateway, serving_gateways

IMPATIENT = Retry(base_s=0.01, cap_s=0.05, give_up_s=1.0, first_s=30)


async def test_running_cell_tells_of_the_outage(gateway: OwnGateway, tmp_path: Path) -> None:
    switch = Switch(gateway.port)
    async with switch.serving(), relayed(gateway, switch.port, tmp_path, tell_after_s=0.05) as notebook:
        id = notebook.client.execute(
            "print('on', flush=True)\nimport time\ntime.sleep(2)\nprint('done', flush=True)"
        )
        await notebook.until("stream", id)
        switch.off()
        lost = (await notebook.until("stream"))[-1]
        assert parent_of(lost) == id
        assert lost["content"]["name"] == "stderr"
        assert "connection to the room lost, trying again" in lost["content"]["text"]
        late = notebook.client.execute("print('late')")
        told = (await notebook.until("stream", late))[-1]
        assert "trying again" in told["content"]["text"], "a cell that is sent meanwhile says why it waits"
        switch.on()
        messages = await notebook.until_idle(id)
        assert text_of(messages) == "[connection to the room is back]\ndone\n"
        assert text_of(await notebook.until_idle(late)) == "late\n"


async def test_short_cut_is_not_worth_a_word(gateway: OwnGateway, tmp_path: Path) -> None:
    switch = Switch(gateway.port)
    async with switch.serving(), relayed(gateway, switch.port, tmp_path, tell_after_s=30) as notebook:
        id = notebook.client.execute("print('on', flush=True)\nimport time\ntime.sleep(1)\nprint('done')")
        await notebook.until("stream", id)
        switch.off()
        switch.on()
        assert text_of(await notebook.until_idle(id)) == "done\n"


async def test_every_waiting_cell_is_answered_when_the_room_stays_away(
    gateway: OwnGateway, tmp_path: Path
) -> None:
    switch = Switch(gateway.port)
    async with (
        switch.serving(),
        relayed(gateway, switch.port, tmp_path, tell_after_s=0.05, retry=IMPATIENT) as notebook,
    ):
        id = notebook.client.execute("print('on', flush=True)\nimport time\ntime.sleep(30)")
        await notebook.until("stream", id)
        waiting = notebook.client.execute("1")
        switch.off()
        for asked in (id, waiting):
            reply = (await notebook.reply(asked))["content"]
            assert (reply["status"], reply["ename"]) == ("error", "RoomConnectionError")
            assert "could not be reached for 1 s" in reply["evalue"]
        errors = [m for m in await notebook.until_idle(waiting) if m["msg_type"] == "error"]
        assert len(errors) == 1
        assert (await notebook.run("2"))[1]["ename"] == "RoomConnectionError", "later cells do not wait"
        info = await notebook.reply(notebook.client.kernel_info())
        assert "Restart the kernel" in info["content"]["banner"]


async def test_end_of_the_room_is_told(gateway: OwnGateway, tmp_path: Path) -> None:
    switch = Switch(gateway.port)
    async with switch.serving(), relayed(gateway, switch.port, tmp_path, tell_after_s=0.05) as notebook:
        id = notebook.client.execute("print('on', flush=True)\nimport time\ntime.sleep(30)")
        await notebook.until("stream", id)
        await asyncio.to_thread(gateway.delete, f"embedenv/api/rooms/{notebook.room}", gateway.api_key)
        assert (await notebook.reply(id))["content"]["status"] == "error"
        assert "ended" in (await notebook.run("1"))[1]["evalue"]


async def test_what_is_sent_while_away_arrives_once(gateway: OwnGateway, tmp_path: Path) -> None:
    """Twenty megabytes on their way up, and as much down, when the connection comes back."""
    switch = Switch(gateway.port)
    async with switch.serving(), relayed(gateway, switch.port, tmp_path, tell_after_s=30) as notebook:
        await notebook.run("seen = []")
        flood = notebook.client.execute("for i in range(200): print('x' * 100_000, flush=True)")
        await notebook.until("stream", flood)
        switch.off()
        sent = [notebook.client.execute(f"seen.append({i}); '{'y' * 1_000_000}'[0]") for i in range(20)]
        await asyncio.sleep(0)
        switch.on()
        for id in (flood, *sent):
            assert (await notebook.reply(id))["content"]["status"] == "ok"
        await notebook.until_idle(sent[-1])
        assert (await notebook.run("print(seen == list(range(20)))"))[0] == "True\n"


async def test_lost_answers_are_told_with_their_number(tmp_path: Path) -> None:
    """A log that keeps little: what it has thrown away while we were away is counted, and no cell waits."""
    folder = tmp_path / "small"
    folder.mkdir()
    with serving_gateways(folder) as serve:
        gateway = await asyncio.to_thread(serve, "--EmbedenvApp.log_disk_mib=0", "--EmbedenvApp.pool_size=0")
        switch = Switch(gateway.port)
        async with switch.serving(), relayed(gateway, switch.port, tmp_path, tell_after_s=30) as notebook:
            code = "for i in range(300): print('z' * 100_000, flush=True)\nopen('through', 'w').close()"
            id = notebook.client.execute("print('on', flush=True)\nimport time\ntime.sleep(1)\n" + code)
            await notebook.until("stream", id)
            switch.off()
            async with asyncio.timeout(30):
                while not await _has_idle_kernel(gateway):
                    await asyncio.sleep(0.05)
            switch.on()
            messages = await notebook.until_idle(id)
            (told,) = (m for m in messages if m["content"].get("name") == "stderr")
            count = int(told["content"]["text"].split()[0].lstrip("["))
            assert count > 100
            assert "left out" in told["content"]["text"]
            await notebook.reply(id)


async def _has_idle_kernel(gateway: OwnGateway) -> bool:
    (room,) = json.loads(await asyncio.to_thread(gateway.get, "embedenv/api/rooms", gateway.api_key))
    path = f"embedenv/rooms/{room['id']}/api/kernels"
    (kernel,) = json.loads(await asyncio.to_thread(gateway.get, path, gateway.api_key))
    return bool(kernel["execution_state"] == "idle")


@pytest.mark.parametrize("size", [70 << 20])
async def test_message_that_is_too_large_is_refused(gateway: OwnGateway, tmp_path: Path, size: int) -> None:
    switch = Switch(gateway.port)
    async with switch.serving(), relayed(gateway, switch.port, tmp_path, tell_after_s=30) as notebook:
        _, reply = await notebook.run(f"'{'x' * size}'")
        assert "at most" in reply["evalue"]
        assert (await notebook.run("print(1)"))[0] == "1\n"
