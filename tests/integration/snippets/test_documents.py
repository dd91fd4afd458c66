"""The documents of the Engine and its list of languages, as a gateway serves them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from embedenv_jupyter.languages.registry import Languages
from tests.integration.conftest import DEADLINE_S, Served


async def get(served: Served, path: str, **headers: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        f"{served.http_url}embedenv/api/{path}",
        headers=headers,
        raise_error=False,
        request_timeout=DEADLINE_S,
    )


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def document(served: Served, name: str) -> dict[str, Any]:
    response = await get(served, name)
    assert (response.code, response.headers["Content-Type"]) == (200, "application/json")
    read = json.loads(response.body)
    assert isinstance(read, dict)
    return read


async def test_the_address_in_the_openapi_document_answers(served: Served) -> None:
    described = await document(served, "openapi.json")
    (server,) = described["servers"]
    for path, operations in described["paths"].items():
        for verb in operations:
            response = await AsyncHTTPClient().fetch(
                f"http://{served.host}{server['url']}{path}", method=verb.upper(), raise_error=False,
                body=b"{}" if verb == "post" else None,
            )  # fmt: skip
            assert (response.code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_the_address_in_the_asyncapi_document_answers(served: Served, dial: Any) -> None:
    described = await document(served, "asyncapi.json")
    server = described["servers"]["gateway"]
    (channel,) = described["channels"].values()
    peer = await dial(f"{server['protocol']}://{server['host']}{server['pathname']}{channel['address']}")
    await peer.send(action="ping", id="7")
    assert await peer.receive() == {"type": "pong", "id": "7"}


async def test_who_may_see_rooms_may_see_the_languages(served: Served, jp_serverapp: Any) -> None:
    ada = await served.gateway.accounts.create_key("Ada", credits=5)
    schemas = (await document(served, "openapi.json"))["components"]
    list_is_valid = Draft202012Validator({"$ref": "#/components/schemas/LanguageList", "components": schemas})
    token = {"Authorization": f"token {jp_serverapp.identity_provider.token}"}
    answers = await asyncio.gather(
        get(served, "languages", **bearer(ada.api_key)), get(served, "languages", **token)
    )
    assert [answer.code for answer in answers] == [200, 200]
    assert answers[0].body == answers[1].body  # one room was asked, for both
    listed = json.loads(answers[0].body)
    list_is_valid.validate(listed)
    by_id = {language["id"]: language for language in listed["languages"]}
    assert list(by_id) == [language.id for language in Languages.shipped()]
    assert by_id["python"]["found"] and by_id["python"]["version"].startswith("Python 3")
    assert (await served.gateway.accounts.balance(ada.account.id)).total == 5
    assert len(served.gateway.rooms) == 0


@pytest.mark.parametrize("headers", [{}, bearer("ek_" + "x" * 43)], ids=["nobody", "a key of nobody"])
async def test_nobody_else_sees_the_languages(served: Served, headers: dict[str, str]) -> None:
    response = await get(served, "languages", **headers)
    assert (response.code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert set(json.loads(response.body)) == {"message", "reason"}
