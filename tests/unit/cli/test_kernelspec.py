"""``embedenv kernelspec``: what is written, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from jupyter_client.kernelspec import KernelSpecManager

from embedenv_jupyter.cli.kernelspec import command


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let Jupyter look for kernels in the test's own folders only."""
    for name in ("EMBEDENV_URL", "EMBEDENV_LANGUAGE", "JUPYTER_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "user"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "prefix" / "share" / "jupyter"))
    monkeypatch.setattr("jupyter_client.kernelspec.SYSTEM_JUPYTER_PATH", [])
    monkeypatch.setattr("jupyter_core.paths.ENV_JUPYTER_PATH", [])
    return tmp_path


def call(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def spec(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((path / "kernel.json").read_text())
    return read


def test_a_language_becomes_a_kernel(data: Path) -> None:
    result = call("install", "--lang", "golang", "--user")
    assert result.exit_code == 0, result.output
    path = data / "user" / "kernels" / "embedenv-go"
    assert spec(path) == {
        "argv": [sys.executable, "-m", "embedenv_jupyter.forwarder", "-f", "{connection_file}"],
        "display_name": "Embedenv (Go)",
        "language": "go",
        "interrupt_mode": "message",
        "env": {"EMBEDENV_LANGUAGE": "go"},
        "metadata": {"kernel_provisioner": {"provisioner_name": "embedenv-forwarding"}},
    }
    assert str(path) in result.output and "EMBEDENV_API_KEY" in result.output
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_gateway_and_a_name_may_be_given(data: Path) -> None:
    options = ("--url", "wss://embedenv.com/ws", "--name", "Cloud-R", "--prefix", str(data / "prefix"))
    assert call("install", "--lang", "r", *options, "--engine").exit_code == 0
    written = spec(data / "prefix" / "share" / "jupyter" / "kernels" / "cloud-r")
    assert written["env"] == {"EMBEDENV_LANGUAGE": "r", "EMBEDENV_URL": "wss://embedenv.com/ws"}
    assert written["argv"][1:3] == ["-m", "embedenv_jupyter.forwarder.engine_kernel"]


def test_jupyter_reads_what_was_written(data: Path) -> None:
    call("install", "--lang", "bash", "--user")
    found = KernelSpecManager().get_kernel_spec("embedenv-bash")
    assert (found.display_name, found.interrupt_mode) == ("Embedenv (Bash)", "message")


def test_an_unknown_language_is_refused_naming_the_known_ones(data: Path) -> None:
    result = call("install", "--lang", "befunge", "--user")
    assert result.exit_code == 1 and "known are: python, javascript, c," in result.output
    assert not (data / "user").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--url", "ftp://host"], "'ftp' is not a scheme"),
        (["--url", "https://ada:secret@host"], "user or password"),
        (["--url", "https://host/lab?token=secret"], "leave out what follows '?'"),
        (["--name", "../etc"], "is no name of a kernel"),
        (["--prefix", "/proc/nothing"], "Try --user"),
    ],
)
def test_what_cannot_be_written_is_refused(options: list[str], told: str, data: Path) -> None:
    result = call("install", *options)
    assert result.exit_code == 1 and told in result.output and "secret" not in result.output


def test_user_and_prefix_exclude_each_other() -> None:
    assert call("install", "--user", "--prefix", "/tmp").exit_code == 2


def test_ours_are_listed_and_removed_and_no_others(data: Path) -> None:
    assert "None yet" in call("list").output
    other = data / "user" / "kernels" / "other"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["x"], "display_name": "Other", "language": "x"}')
    broken = data / "user" / "kernels" / "broken"
    broken.mkdir()
    (broken / "kernel.json").write_text("{")
    call("install", "--lang", "go", "--user", "--url", "https://gateway.example")
    call("install", "--user")
    listed = json.loads(call("list", "--json").output)
    assert [(row["name"], row["language"], row["url"]) for row in listed] == [
        ("embedenv-go", "go", "https://gateway.example"), ("embedenv-python", "python", ""),
    ]  # fmt: skip
    assert "embedenv-go\tEmbedenv (Go)\thttps://gateway.example" in call("list").output
    refused = call("remove", "embedenv-go", "other")
    assert refused.exit_code == 1 and "there are: embedenv-go, embedenv-python" in refused.output
    assert call("remove", "embedenv-go", "embedenv-python").exit_code == 0
    assert json.loads(call("list", "--json").output) == [] and other.exists()
