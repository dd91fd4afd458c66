"""What the set-up decides; the set-up itself is what ran before these tests."""

from __future__ import annotations

import pytest

from tools import bootstrap
from tools.bootstrap import SetupError, SystemPackage

PRESENT = SystemPackage("present", "nothing", lambda: True)
MISSING = SystemPackage("missing-thing", "tests of the missing thing", lambda: False)


class Machine:
    """A machine whose commands are recorded and answered instead of run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.failing: set[str] = set()
        self.has_apt = True
        self.uid = 0
        monkeypatch.delenv("INSTALL", raising=False)
        monkeypatch.setattr(bootstrap, "run_quietly", self.run)
        monkeypatch.setattr("os.geteuid", lambda: self.uid)
        monkeypatch.setattr("shutil.which", self.which)

    def run(self, *command: str) -> tuple[bool, str]:
        self.calls.append(command)
        failed = any(word in self.failing for word in command)
        return not failed, f"E: {' '.join(command)} went wrong" if failed else ""

    def which(self, command: str) -> str | None:
        return "/usr/bin/apt-get" if command == "apt-get" and self.has_apt else None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_what_is_there_is_left_alone(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.provide([PRESENT])
    assert machine.calls == []
    assert capsys.readouterr().err == ""


def test_root_on_debian_installs_only_what_is_missing(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    bootstrap.provide([PRESENT, MISSING])
    assert [call[:2] for call in machine.calls] == [("apt-get", "update"), ("apt-get", "install")]
    assert machine.calls[1][-1] == "missing-thing"
    assert capsys.readouterr().err == "embedenv: installing missing-thing (tests of the missing thing)\n"


def test_an_ordinary_user_reads_what_to_install_and_goes_on(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.uid = 1000
    bootstrap.provide([PRESENT, MISSING])
    assert machine.calls == []
    told = capsys.readouterr().err
    assert "missing-thing: tests of the missing thing" in told
    assert "apt-get install missing-thing (as root)" in told


def test_root_may_refuse(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INSTALL", "no")
    bootstrap.provide([MISSING])
    assert machine.calls == []
    assert "apt-get install missing-thing" in capsys.readouterr().err


def test_elsewhere_than_on_debian_the_names_are_told(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has_apt = False
    bootstrap.provide([MISSING])
    assert machine.calls == []
    assert "install what your system calls missing-thing" in capsys.readouterr().err


def test_a_package_that_cannot_be_installed_stops_nothing(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.failing.add("install")
    bootstrap.provide([MISSING])
    told = capsys.readouterr().err
    assert "could not install missing-thing" in told
    assert "went wrong" in told
    assert "going on without" in told


def test_no_way_to_make_an_environment_is_the_end_and_says_what_to_do(machine: Machine) -> None:
    machine.uid = 1000
    machine.failing |= {"import ensurepip", "import virtualenv", str(bootstrap.VENV_PYTHON)}
    with pytest.raises(SetupError, match="apt-get install python3-venv"):
        bootstrap.make_venv()


def test_root_gets_what_debian_cuts_out_of_python(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.failing |= {"import ensurepip", "import virtualenv", str(bootstrap.VENV_PYTHON)}
    with pytest.raises(SetupError):
        bootstrap.make_venv()
    assert "python3-venv" in [call[-1] for call in machine.calls]


def test_client_of_an_engine_that_does_not_answer_is_no_engine(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (engine,) = (package for package in bootstrap.FOR_TESTS if package.debian == "podman")
    assert engine.is_present()
    machine.failing.add("docker")
    assert not engine.is_present()
    monkeypatch.setattr("shutil.which", lambda command: f"/usr/bin/{command}")
    assert engine.is_present()


def test_languages_are_installed_together(machine: Machine) -> None:
    bootstrap.install_languages()
    update, install = machine.calls
    assert update[:2] == ("apt-get", "update")
    assert install[1:4] == ("languages", "install", "--no-warm")
    assert install[4:] == bootstrap.TESTED_LANGUAGES


def test_a_language_that_cannot_be_had_costs_no_other(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.failing = {"rust"}
    bootstrap.install_languages()
    assert {call[-1] for call in machine.calls[2:]} == set(bootstrap.TESTED_LANGUAGES)
    told = capsys.readouterr().err
    assert "could not install rust:" in told and "could not install go" not in told


def test_who_may_install_nothing_installs_no_language(machine: Machine) -> None:
    machine.uid = 1000
    bootstrap.install_languages()
    assert machine.calls == []
