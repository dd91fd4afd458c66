"""Who may make previews, who sees them, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.previews.conftest import PORT, Shown


async def test_ports_of_the_room(shown: Shown) -> None:
    assert (await shown.api("GET", f"{shown.rest}/ports")).body == [{"port": PORT}]


async def test_preview_is_listed_and_taken_back(shown: Shown) -> None:
    (made,) = shown.previews
    listed = await shown.api("GET", f"{shown.rest}/previews")
    assert listed.body == [made]
    one = f"{shown.rest}/previews/{made['capability']}"
    assert (await shown.api("GET", one)).body == made
    assert (await shown.api("DELETE", one)).status == 204
    assert (await shown.api("GET", one)).status == 404
    answer = await shown.get()
    assert answer.code == 410 and b"taken back" in answer.body


async def test_preview_expires(shown: Shown) -> None:
    shown.path = await shown.make(expires_s=0.5)
    assert (await shown.get("next")).code == 200
    async with asyncio.timeout(30):
        while (answer := await shown.get("next")).code == 200:
            await asyncio.sleep(0.05)
    assert answer.code == 410 and b"has expired" in answer.body


async def test_preview_ends_with_its_room(shown: Shown) -> None:
    await shown.api("DELETE", f"api/rooms/{shown.room.id}")
    answer = await shown.get()
    assert answer.code == 410 and b"has ended" in answer.body


async def test_guessed_address(shown: Shown) -> None:
    shown.path = shown.path[:-5] + "AAAA/"
    answer = await shown.get()
    assert answer.code == 404 and b"no such preview" in answer.body


async def test_roles(shown: Shown) -> None:
    wanted = {"port": PORT}
    for role, status in (("view", 403), ("run", 201)):
        made = await shown.api("POST", f"api/rooms/{shown.room.id}/keys", {"role": role})
        guest = shown.api.with_key(made.body["join"])
        assert (await guest("POST", f"{shown.rest}/previews", wanted)).status == status
        assert (await guest("GET", f"{shown.rest}/previews")).status == (200 if role == "run" else 403)
        assert (await guest("GET", f"{shown.rest}/ports")).status == 200
    nobody = shown.api.with_key("nonsense")
    assert (await nobody("POST", f"{shown.rest}/previews", wanted)).status == 401


@pytest.mark.parametrize(
    "wanted",
    [{}, {"port": 0}, {"port": 65536}, {"port": "80"}, {"port": 80, "expires_s": 0},
     {"port": 80, "expires_s": 604801},
     {"port": 80, "x": 1}],
)  # fmt: skip
async def test_what_cannot_be_made_is_named(shown: Shown, wanted: dict[str, object]) -> None:
    answer = await shown.api("POST", f"{shown.rest}/previews", wanted)
    assert answer.status == 400 and answer.body["reason"] == "BadRequest"


async def test_previews_of_one_room_are_no_other_s(shown: Shown) -> None:
    other = await shown.api("POST", "api/rooms", {"name": "other"})
    path = f"rooms/{other.body['id']}/api/previews"
    capability = shown.previews[0]["capability"]
    assert (await shown.api("DELETE", f"{path}/{capability}")).status == 404
    assert (await shown.api("GET", path)).body == []


async def test_number_of_previews_is_bounded(shown: Shown) -> None:
    for _ in range(255):
        shown.served.gateway.previews.make(shown.room, PORT, 60)
    answer = await shown.api("POST", f"{shown.rest}/previews", {"port": PORT})
    assert answer.status == 429 and "256" in answer.body["message"]
