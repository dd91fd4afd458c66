"""What magics cost, and what an account without credits is told."""

from __future__ import annotations

from tests.integration.conftest import Served
from tests.integration.kernels.conftest import Api, OpenRoom
from tests.integration.kernels.magics.conftest import Enter
from tests.integration.kernels.magics.shown import table, value


async def test_account_without_credits_is_refused(enter: Enter, api: Api, served: Served) -> None:
    keys = await served.gateway.accounts.create_key("poor", credits=2)
    theirs = api.with_key(keys.api_key)
    answer = await theirs("POST", "api/rooms", {"name": "poor", "kernel": True})
    room = OpenRoom(answer.body["id"], answer.body["join"], answer.body["kernel"]["id"], theirs)
    peer = await enter(room)
    assert (await peer.run("%%lang bash\necho paid"))[0] == "paid\n"
    for code in ("%embedenv new", "%%lang bash\necho no", "%%room poor\nprint('no')"):
        text, reply, _ = await peer.run(code)
        assert (text, reply["ename"]) == ("", "InsufficientCreditsError"), (code, reply)
        assert "1 credits and 0 are left" in reply["evalue"]
    assert value(table((await peer.run("%embedenv"))[2]), "credits") == "0"
    (entry,) = [room for room in served.gateway.rooms if room.account == keys.account.id]
    assert entry.id == room.id


async def test_heavy_lines_of_a_shell_cell_cost_what_they_cost_in_a_shell(
    enter: Enter, room: OpenRoom
) -> None:
    peer = await enter(room)
    _, _, messages = await peer.run("%%lang bash\nfalse && pip install nothing\ntrue")
    (receipt,) = (m.metadata["embedenv"] for m in messages if m.type == "execute_reply")
    assert receipt["cost"] == 5
