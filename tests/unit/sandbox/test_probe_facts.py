from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from embedenv_jupyter.sandbox import host_facts


def write(root: Path, path: str, text: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_an_empty_machine_has_no_switches(tmp_path: Path) -> None:
    facts = host_facts.look(tmp_path, {})
    assert facts.container is None
    assert facts.userns_clone is None
    assert facts.max_user_namespaces is None
    assert not facts.apparmor_restricts_userns
    assert not facts.has_systemd
    assert facts.distribution == ()
    assert facts.uid == os.geteuid()


def test_switches_are_read(tmp_path: Path) -> None:
    write(tmp_path, "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
    write(tmp_path, "proc/sys/kernel/unprivileged_userns_clone", "0\n")
    write(tmp_path, "proc/sys/user/max_user_namespaces", "garbage\n")
    write(tmp_path, "etc/os-release", 'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n')
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    facts = host_facts.look(tmp_path, {})
    assert facts.apparmor_restricts_userns
    assert facts.userns_clone == 0
    assert facts.max_user_namespaces is None
    assert facts.distribution == ("linuxmint", "ubuntu", "debian")
    assert facts.has_systemd


@pytest.mark.parametrize(
    ("path", "text", "environ", "kind"),
    [
        (".dockerenv", "", {}, "docker"),
        ("run/.containerenv", "", {}, "podman"),
        ("proc/1/cgroup", "0::/kubepods/besteffort/pod1\n", {}, "kubernetes"),
        ("proc/1/cgroup", "0::/init.scope\n", {}, None),
        ("etc/hosts", "", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ("etc/hosts", "", {"container": "systemd-nspawn"}, "systemd-nspawn"),
    ],
)
def test_container_is_known_by_its_traces(
    tmp_path: Path, path: str, text: str, environ: dict[str, str], kind: str | None
) -> None:
    write(tmp_path, path, text)
    assert host_facts.look(tmp_path, environ).container == kind


def test_fingerprint_changes_with_what_findings_depend_on(tmp_path: Path) -> None:
    facts = host_facts.look(tmp_path, {})
    tool = tmp_path / "bwrap"
    tool.touch()
    same = host_facts.fingerprint(facts)
    assert host_facts.fingerprint(replace(facts)) == same
    changed = [
        replace(facts, boot_id="later"), replace(facts, uid=facts.uid + 1), replace(facts, userns_clone=1),
        replace(facts, apparmor_restricts_userns=True), replace(facts, container="docker"),
        replace(facts, programs={"bwrap": str(tool)}),
    ]  # fmt: skip
    for other in changed:
        assert host_facts.fingerprint(other) != same


def test_own_confinement_is_read(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/status", "Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n")
    write(tmp_path, "proc/self/cgroup", "0::/user.slice/embedenv-12-0/-gateway\n1:memory:/a\n")
    (tmp_path / "proc/self/ns").mkdir()
    (tmp_path / "proc/self/ns/user").symlink_to("user:[4026531837]")
    facts = host_facts.look(tmp_path, {})
    assert (facts.no_new_privs, facts.seccomp) == (1, 2)
    assert facts.cgroups == ("0::/user.slice", "1:memory:/a"), "without what a claim of ours moves us into"
    assert facts.namespaces == ("user:[4026531837]",)
    assert set(os.getgroups()) <= set(facts.groups)
