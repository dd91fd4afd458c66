"""What rooms can run is found in a room, and shown by the command as it was found."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

from embedenv_jupyter.engine.engine import Engine
from embedenv_jupyter.engine.survey import survey
from embedenv_jupyter.languages.registry import Languages

LANGUAGES = Languages.shipped()
BASH, PYTHON = LANGUAGES.named("bash"), LANGUAGES.named("python")


async def test_what_is_there_has_its_version_and_what_is_not_is_named(engine: Engine) -> None:
    strange = dataclasses.replace(PYTHON, needs=("python3", "no-such-thing"))
    assert BASH.session is not None
    stateless = dataclasses.replace(BASH, session=dataclasses.replace(BASH.session, needs=("no-such-shell",)))
    silent = dataclasses.replace(BASH, version="exit 3")
    found, missing, without_session, unknown = await survey(
        engine.sandbox, [PYTHON, strange, stateless, silent]
    )
    assert found.is_found and found.has_session and found.version.startswith("Python 3.")
    assert (missing.is_found, missing.missing, missing.version) == (False, ("no-such-thing",), "")
    assert without_session.is_found and not without_session.has_session
    assert without_session.missing_for_session == ("no-such-shell",)
    assert (unknown.is_found, unknown.version) == (True, "")


def test_the_command_tests_what_it_lists() -> None:
    code = "from embedenv_jupyter.cli import main; main()"
    command = [sys.executable, "-c", code, "languages", "--json", "--test", "--only", "sh"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["languages"]
    assert (found["id"], found["found"], found["session"], found["missing"]) == ("bash", True, True, [])
    assert "bash" in found["version"]
    verdicts = {name: check["verdict"] for name, check in found["checks"].items()}
    assert verdicts == dict.fromkeys(("hello", "input", "error", "interrupt", "limit", "session"), "ok")
