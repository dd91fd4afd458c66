"""The promise of the forwarder: 20,000 messages through 200 cuts, each exactly once and in order."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.integration.client.cutting_proxy import CuttingProxy
from tests.integration.forwarder.conftest import parent_of
from tests.integration.forwarder.relayed import relayed
from tests.integration.own_gateway import OwnGateway

CUTS = 200
MESSAGES = 20_000
UP_TO_BYTES = 90_000
"""Each message is some 600 bytes on the wire, so that all cuts fall into the transmission."""

FLOOD = f"""
import sys
from IPython.display import display
for number in range({MESSAGES} // 2):
    print(number, flush=True)
    display({{'text/plain': str(number)}}, raw=True)
"""


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_message_comes_exactly_once_and_in_order(
    gateway: OwnGateway, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    proxy = CuttingProxy(gateway.port, dice, cuts=CUTS, up_to_bytes=UP_TO_BYTES)
    async with proxy.serving(), relayed(gateway, proxy.port, tmp_path, tell_after_s=5) as notebook:
        seen: list[tuple[str, int]] = []
        replies: set[str] = set()
        id = notebook.client.execute(FLOOD)
        # Requests go up through the same cuts: each must be answered once.
        asked = [id, *(notebook.client.execute(f"{number}") for number in range(50))]
        idle: set[str] = set()
        while idle < set(asked):
            message = await notebook.iopub()
            content = message["content"]
            if content.get("execution_state") == "idle":
                idle.add(parent_of(message))
            elif parent_of(message) != id:
                continue
            elif message["msg_type"] == "stream":
                assert content["name"] == "stdout", content
                seen += [("stream", int(number)) for number in content["text"].split()]
            elif message["msg_type"] == "display_data":
                seen.append(("display", int(content["data"]["text/plain"])))
        for _ in asked:
            reply = await notebook.client.get_shell_msg(timeout=10)
            assert reply["content"]["status"] == "ok"
            replies.add(parent_of(reply))
    assert seen == [(kind, number) for number in range(MESSAGES // 2) for kind in ("stream", "display")]
    assert replies == set(asked)
    assert proxy.cuts == CUTS
    print(f"\n{len(seen)} messages, {proxy.connections} connections, {proxy.cuts} of them cut")
