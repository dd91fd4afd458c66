"""Where a forwarder goes, by what its environment and its ancestors say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedenv_jupyter.client.address import base_url
from embedenv_jupyter.client.gateway_file import (
    GatewayFile,
    gateway_file_path,
    read_gateway_file,
    remove_gateway_file,
    write_gateway_file,
)
from embedenv_jupyter.client.refusal import AddressError
from embedenv_jupyter.forwarder.discovery import from_environment, from_servers

URL = "http://host:1/"
SAYS = GatewayFile("http://127.0.0.1:8888/base/", "secret")


def test_nothing_is_named() -> None:
    assert from_environment({"EMBEDENV_API_KEY": "ek_1"}) is None


def test_join_key_comes_first() -> None:
    found = from_environment({"EMBEDENV_URL": URL, "EMBEDENV_JOIN_KEY": "j", "EMBEDENV_API_KEY": "ek"})
    assert found is not None
    assert (found.gateway.url, found.gateway.key, found.join) == (URL, "j", True)


def test_api_key_comes_before_the_pair() -> None:
    pair = {"EMBEDENV_PUBLIC_KEY": "pk", "EMBEDENV_SECRET_KEY": "sk"}
    found = from_environment({"EMBEDENV_URL": URL, "EMBEDENV_API_KEY": "ek", **pair})
    assert found is not None
    assert (found.gateway.key, found.join) == ("ek", False)
    found = from_environment({"EMBEDENV_URL": URL, **pair})
    assert found is not None
    assert found.gateway.key == "pk:sk"


@pytest.mark.parametrize("keys", [{}, {"EMBEDENV_PUBLIC_KEY": "pk"}])
def test_address_without_a_key_is_an_error(keys: dict[str, str]) -> None:
    with pytest.raises(AddressError, match="no key for it"):
        from_environment({"EMBEDENV_URL": URL, **keys})


def test_no_key_shows_in_a_text() -> None:
    found = from_environment({"EMBEDENV_URL": URL, "EMBEDENV_JOIN_KEY": "very-secret"})
    assert "very-secret" not in repr(found)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://host:1", "http://host:1/"),
        ("https://host/base/lab?token=x", "https://host/base/"),
        ("wss://host/base/ws/spaces/defoult/", "https://host/base/"),
        ("localhost:8888", "http://localhost:8888/"),
        ("host", "https://host/"),
    ],
)
def test_any_form_of_an_address_names_the_server(address: str, expected: str) -> None:
    assert base_url(address) == expected


def test_server_is_found_by_the_pid_that_jupyter_names_and_by_ancestors(tmp_path: Path) -> None:
    write_gateway_file(tmp_path, 4_000_000, SAYS)
    write_gateway_file(tmp_path, os.getppid(), GatewayFile("http://127.0.0.1:2/", "other"))
    found = list(from_servers({"JPY_PARENT_PID": "4000000"}, tmp_path))
    assert [each.gateway.url for each in found] == [SAYS.url, "http://127.0.0.1:2/"]
    assert [each.gateway.key for each in found] == ["secret", "other"]
    joining = list(from_servers({"EMBEDENV_JOIN_KEY": "j", "EMBEDENV_ROOM": "r"}, tmp_path))
    assert [(each.gateway.key, each.join, each.room) for each in joining] == [("j", True, "r")]


@pytest.mark.parametrize("pid", ["", "no", "-1", "1"])
def test_strange_pid_is_no_server(tmp_path: Path, pid: str) -> None:
    assert list(from_servers({"JPY_PARENT_PID": pid}, tmp_path)) == []


def test_gateway_file_is_private_and_replaced_and_removed(tmp_path: Path) -> None:
    write_gateway_file(tmp_path, 7, GatewayFile("http://127.0.0.1:1/", "old"))
    write_gateway_file(tmp_path, 7, SAYS)
    assert gateway_file_path(tmp_path, 7).stat().st_mode & 0o777 == 0o600
    assert read_gateway_file(tmp_path, 7) == SAYS
    remove_gateway_file(tmp_path, 7)
    remove_gateway_file(tmp_path, 7)
    assert read_gateway_file(tmp_path, 7) is None


def test_gateway_file_that_others_can_read_is_not_trusted(tmp_path: Path) -> None:
    write_gateway_file(tmp_path, 7, SAYS)
    gateway_file_path(tmp_path, 7).chmod(0o644)
    assert read_gateway_file(tmp_path, 7) is None


def test_gateway_file_is_not_followed_elsewhere(tmp_path: Path) -> None:
    write_gateway_file(tmp_path, 7, SAYS)
    gateway_file_path(tmp_path, 8).symlink_to(gateway_file_path(tmp_path, 7))
    assert read_gateway_file(tmp_path, 8) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"url": 1, "key": "k"}'])
def test_broken_gateway_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = gateway_file_path(tmp_path, 7)
    path.write_bytes(content)
    path.chmod(0o600)
    assert read_gateway_file(tmp_path, 7) is None
