"""What an import brings with it, asked of a fresh interpreter.

The import contracts read the source. This looks at what really gets loaded,
the packages above a module included.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

QUESTION = """
import importlib, json, sys
before = set(sys.modules)
importlib.import_module(sys.argv[1])
tops = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(top for top in tops if top not in sys.stdlib_module_names)))
"""


def brings(module: str) -> set[str]:
    """Name the packages outside the standard library that importing ``module`` loads."""
    answer = subprocess.run(
        [sys.executable, "-c", QUESTION, module], capture_output=True, text=True, check=True
    )
    return set(json.loads(answer.stdout)) - {"embedenv_jupyter"}


@pytest.mark.parametrize(
    "module",
    [
        "embedenv_jupyter",
        "embedenv_jupyter.errors",
        "embedenv_jupyter.languages",
        "embedenv_jupyter.languages.filter",
        "embedenv_jupyter.sandbox.sandbox",
        "embedenv_jupyter.sandbox.supervisor",
        "embedenv_jupyter.sandbox.zygote",
    ],
)
def test_needs_the_standard_library_only(module: str) -> None:
    assert brings(module) == set()


# msgspec takes typing_extensions where it is installed.
MSGSPEC = {"msgspec", "typing_extensions"}


def test_protocols_need_msgspec_only() -> None:
    assert brings("embedenv_jupyter.protocols.spaces") <= MSGSPEC


@pytest.mark.parametrize("module", ["client", "client.opening", "client.sync", "client.sync_engine"])
def test_the_client_needs_no_server(module: str) -> None:
    assert brings(f"embedenv_jupyter.{module}") <= MSGSPEC | {"websockets"}


# Cython's are pyzmq's.
ZMQ = {"zmq", "cython_runtime"}


@pytest.mark.parametrize("module", ["__main__", "remote", "websocket_link"])
def test_the_forwarder_starts_light(module: str) -> None:
    brought = {name for name in brings(f"embedenv_jupyter.forwarder.{module}") if "cython_" not in name}
    allowed = MSGSPEC | ZMQ | ({"websockets"} if module == "websocket_link" else set())
    assert brought <= allowed


@pytest.mark.parametrize("module", ["dialects", "engine_kernel"])
def test_the_forwarder_needs_no_server(module: str) -> None:
    brought = brings(f"embedenv_jupyter.forwarder.{module}")
    assert "websockets" in brought and not brought & {"jupyter_server", "jupyterlab", "sqlalchemy"}


def test_the_command_line_starts_light() -> None:
    assert brings("embedenv_jupyter.cli") <= {"click", "colorama"}
