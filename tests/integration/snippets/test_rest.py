"""REST and Server-Sent Events: the same runs for clients without a WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from embedenv_jupyter.accounts import LOCAL_ACCOUNT
from tests.integration.conftest import DEADLINE_S, Served
from tests.integration.snippets.conftest import Post

HELLO = {"language": "python", "code": "print('hi')"}


def body(response: HTTPResponse) -> dict[str, Any]:
    read = json.loads(response.body)
    assert isinstance(read, dict)
    return read


async def test_each_request_without_a_session_has_a_room_of_its_own(served: Served, post: Post) -> None:
    await post({"language": "python", "code": "open('left', 'w')\nx = 1"})
    code = "import os\nprint(os.path.exists('left'), 'x' in globals())"
    seen = body(await post({"language": "python", "code": code}))
    assert (seen["stdout"], seen["cost"]) == ("False False\n", 1)


async def test_a_session_keeps_state_between_requests(post: Post) -> None:
    await post({"language": "python", "code": "x = 41", "session": "s"})
    assert body(await post({"language": "python", "code": "x + 1", "session": "s"}))["stdout"] == "42\n"


async def test_what_was_printed_until_time_was_up_is_kept(post: Post) -> None:
    code = "print('before', flush=True)\nwhile True: pass"
    seen = body(await post({"language": "python", "code": code, "timeout": 0.5}))
    assert (seen["stdout"], seen["exit_code"], seen["ended_by"]) == ("before\n", 124, "time")
    assert float(seen["execution_time"].removesuffix("ms")) >= 500


async def test_a_batch_runs_one_after_another_whatever_becomes_of_each(post: Post) -> None:
    runs = [
        {**HELLO, "stdin": ""},
        {"language": "klingon", "code": ""},
        {"language": "python", "code": "import sys\nsys.exit(sys.stdin.read())", "stdin": "bad"},
    ]
    first, second, third = body(await post({"runs": runs}))["results"]
    assert (first["stdout"], second["error"], third["exit_code"], third["stderr"]) == (
        "hi\n", "unknown_language", 1, "bad\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "status", "says"),
    [
        (b"{", 400, "not JSON"),
        (b"\xff", 400, "the body"),
        ({}, 400, "is missing"),
        ({"language": "python"}, 400, "'code' is missing"),
        ({"language": "python", "code": 5}, 400, "expected string"),
        ({"language": "klingon", "code": ""}, 422, "known are: python, javascript"),
        ({**HELLO, "files": {"../x": ""}}, 422, "a path is relative"),
        ({**HELLO, "files": {"a": {"base64": "?"}}}, 422, "no base64"),
        ({**HELLO, "env": {"LD_PRELOAD": "x"}}, 422, "may not be set"),
        ({"language": "python", "code": "a\0b"}, 422, "NUL"),
        ({"language": "python", "code": "x" * (2 << 20)}, 400, "length <= 1048576"),
        ({"language": "python", "code": "ä" * (1 << 20)}, 422, "bytes, "),
        ({**HELLO, "limits": {"pids": 60000}}, 422, "limits.pids"),
        ({**HELLO, "limits": {"cpus": 0.001}}, 400, "'limits.cpus': expected number >= 0.01"),
        (
            {"language": "python", "code": "import os\nwhile True: os.fork()"},
            422,
            "Not run, because of the rule",
        ),
        ({"runs": []}, 400, "length >= 1"),
        ({"runs": [HELLO] * 21}, 400, "length <= 20"),
    ],
    ids=lambda value: str(value)[:30] if not isinstance(value, int) else "",
)
async def test_what_cannot_be_run_is_named(post: Post, sent: Any, status: int, says: str) -> None:
    response = await post(sent)
    assert (response.code, says in body(response)["message"]) == (status, True), response.body


async def test_the_least_limits_that_may_be_asked_for_are_enough_to_start(post: Post) -> None:
    least = {"memory_mib": 16, "pids": 4, "cpus": 0.01, "disk_mib": 1}
    seen = body(await post({"language": "bash", "code": "echo hi", "limits": least}))
    assert seen["stdout"] == "hi\n"


@pytest.mark.parametrize("limits", [{"memory_mib": 16}, {"pids": 4}], ids=str)
async def test_limits_that_a_session_cannot_start_with_are_named(post: Post, limits: dict[str, int]) -> None:
    response = await post({**HELLO, "session": "small", "limits": limits})
    assert (response.code, body(response)["error"]) == (422, "bad_request")
    assert body(response)["message"] == "limits: leave Python too little to start here"
    other = await post({"language": "bash", "code": "echo hi", "session": "small"})
    assert body(other)["stdout"] == "hi\n"


async def test_a_body_beyond_all_bounds_is_refused(post: Post) -> None:
    response = await post(b'"' + b"x" * (17 << 20) + b'"')
    assert (response.code, body(response)["error"]) == (413, "too_large")


async def test_who_pays_is_asked_first(served: Served, post: Post) -> None:
    for key in (None, "wrong", "ek_" + "x" * 43):
        response = await post(HELLO, key)
        assert (response.code, body(response)["error"]) == (401, "unauthorized")
    poor = await served.gateway.accounts.create_key("Poor", credits=1)
    assert (await post(HELLO, poor.api_key)).code == 200
    assert (await post(HELLO, poor.api_key)).code == 402
    assert (await served.gateway.accounts.balance(poor.account.id)).total == 0
    await served.gateway.accounts.revoke(poor.public_key)
    assert (await post(HELLO, poor.api_key)).code == 401


async def test_every_refusal_has_one_form_and_the_headers_of_its_status(served: Served, post: Post) -> None:
    page = await AsyncHTTPClient().fetch(f"{served.http_url}api/v1/execute", raise_error=False)
    nobody, wrong = await post(HELLO, None), await post(HELLO, "wrong")
    await served.gateway.aclose()
    gone = await post(HELLO)
    seen = [page, nobody, wrong, gone]
    assert [one.code for one in seen] == [405, 401, 401, 503]
    assert len({frozenset(body(one)) for one in seen}) == 1
    assert page.headers["Allow"] == "POST"
    assert nobody.headers["WWW-Authenticate"] == wrong.headers["WWW-Authenticate"] == "Bearer"
    assert (body(gone)["error"], gone.headers["Retry-After"]) == ("unavailable", "1")


async def test_a_pair_of_keys_pays_as_well(served: Served, post: Post) -> None:
    assert (await post(HELLO, f"{served.public_key}:{served.secret_key}")).code == 200


async def test_the_own_key_of_this_gateway_pays_nothing(served: Served, post: Post) -> None:
    seen = body(await post(HELLO, served.gateway.local_key))
    assert seen["stdout"] == "hi\n"
    assert (await served.gateway.accounts.balance(LOCAL_ACCOUNT.id)).total is None


async def test_what_was_not_run_costs_nothing(served: Served, post: Post) -> None:
    ada = await served.gateway.accounts.create_key("Ada", credits=5)
    for sent in ({"language": "klingon", "code": ""}, {**HELLO, "files": {"main.py": ""}}):
        assert (await post(sent, ada.api_key)).code == 422
    assert (await served.gateway.accounts.balance(ada.account.id)).total == 5


@pytest.mark.parametrize("embedenv_config", [{"runs_per_minute": 2}])
async def test_too_many_requests_are_told_when_to_come_again(post: Post) -> None:
    answers = [await post(HELLO) for _ in range(3)]
    assert [answer.code for answer in answers] == [200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["RateLimit-Limit"] for answer in answers} == {"2"}
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 30
    assert 30 < int(answers[2].headers["RateLimit-Reset"]) <= 60
    assert body(answers[2])["error"] == "rate_limited"


@pytest.mark.parametrize("embedenv_config", [{"runs_per_minute": 2}])
async def test_a_batch_that_never_fits_is_told_how_large_one_may_be(post: Post) -> None:
    answer = await post({"runs": [HELLO] * 3})
    assert (answer.code, body(answer)["error"]) == (422, "bad_request")
    assert "send at most 2 at once" in body(answer)["message"]
    assert answer.headers["RateLimit-Remaining"] == "2"
    assert "Retry-After" not in answer.headers
    assert (await post({"runs": [HELLO] * 2})).code == 200


@pytest.mark.parametrize("embedenv_config", [{"code_filter": "warn"}])
async def test_a_filter_that_warns_lets_code_run(post: Post) -> None:
    code = "import os\nif False:\n    while True: os.fork()\nprint('ran')"
    seen = body(await post({"language": "python", "code": code}))
    assert seen["stdout"] == "ran\n"
    assert all("line" in warning for warning in seen.get("warnings", []))


async def test_a_foreign_page_with_the_users_cookies_may_run_nothing(
    served: Served, jp_serverapp: Any
) -> None:
    """The token of Jupyter is no key here, and neither are its cookies."""
    request = HTTPRequest(
        f"{served.http_url}api/v1/execute?token={jp_serverapp.identity_provider.token}", method="POST",
        body=json.dumps(HELLO), headers={"Authorization": f"token {jp_serverapp.identity_provider.token}"},
    )  # fmt: skip
    response = await AsyncHTTPClient().fetch(request, raise_error=False)
    assert response.code == 401


# Server-Sent Events.


def events(raw: bytes) -> list[tuple[str, dict[str, Any]]]:
    seen = []
    for block in raw.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        seen.append((fields["event"], json.loads(fields["data"])))
    return seen


async def test_a_run_as_events(post: Post) -> None:
    code = "import sys\nprint('a\\n\\nb')\nprint('e', file=sys.stderr)\nsys.exit(3)"
    response = await post({"language": "python", "code": code}, Accept="text/event-stream")
    assert (response.code, response.headers["Content-Type"]) == (200, "text/event-stream")
    seen = events(response.body)
    assert [kind for kind, _ in seen][:2] == ["accepted", "stage"]
    assert all(kind == data["type"] for kind, data in seen)
    assert "".join(data["data"] for kind, data in seen if kind == "stdout") == "a\n\nb\n"
    assert (seen[-1][0], seen[-1][1]["exit_code"]) == ("result", 3)


async def test_events_come_while_the_program_runs(served: Served, api_key: str) -> None:
    code = "print('first', flush=True)\nimport time\ntime.sleep(0.5)\nprint('second')"
    pieces: list[bytes] = []
    request = HTTPRequest(
        f"{served.http_url}api/v1/execute", method="POST", request_timeout=DEADLINE_S,
        headers={"Authorization": f"Bearer {api_key}", "Accept": "text/event-stream"},
        body=json.dumps({"language": "python", "code": code}), streaming_callback=pieces.append,
    )  # fmt: skip
    await AsyncHTTPClient().fetch(request)
    (first,) = [number for number, piece in enumerate(pieces) if b"first" in piece]
    (second,) = [number for number, piece in enumerate(pieces) if b"second" in piece]
    assert first < second


async def test_refusals_of_a_stream_are_plain_answers(post: Post) -> None:
    response = await post({"language": "klingon", "code": ""}, Accept="text/event-stream")
    assert (response.code, body(response)["error"]) == (422, "unknown_language")
    response = await post({"runs": [HELLO, HELLO]}, Accept="text/event-stream")
    assert response.code == 422


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_what_runs_for_a_client_that_has_gone_is_ended(
    served: Served, api_key: str, accept: str
) -> None:
    """Without that it would run on until its time is up, in a room that counts."""
    body = json.dumps({"language": "python", "code": "while True: pass", "timeout": 600}).encode()
    host, port = served.host.split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST {served.base_url}api/v1/execute HTTP/1.1\r\nHost: {served.host}\r\nAccept: {accept}\r\n"
        f"Authorization: Bearer {api_key}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    async with asyncio.timeout(DEADLINE_S):
        while not any(room.is_working for room in served.gateway.rooms):
            await asyncio.sleep(0.01)
        writer.close()
        while len(served.gateway.rooms):
            await asyncio.sleep(0.01)
    assert len(served.gateway.desk.sessions) == 0
