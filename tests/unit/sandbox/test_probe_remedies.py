from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from embedenv_jupyter.sandbox import remedies
from embedenv_jupyter.sandbox.host_facts import HostFacts
from embedenv_jupyter.sandbox.probe_layers import Attempt

UBUNTU = HostFacts(
    uid=1000, user="ada", kernel="6.8.0", machine="x86_64", boot_id="b", distribution=("ubuntu", "debian"),
    container=None, apparmor_restricts_userns=False, userns_clone=1, max_user_namespaces=15000,
    security_modules="lockdown,capability,landlock,apparmor", has_systemd=True,
    programs={"bwrap": "/usr/bin/bwrap", "docker": "/usr/bin/docker"}, interpreter="/opt/py/bin/python3.12",
)  # fmt: skip
REFUSED = Attempt(False, "Operation not permitted", errno.EPERM)
FINE = Attempt(True)
IMAGE = "docker.io/library/python:3.12-slim"


def namespaces(facts: HostFacts, **layers: Attempt) -> list[str]:
    named = {name.replace("_", " "): attempt for name, attempt in layers.items()}
    return list(remedies.for_namespaces(facts, named, facts.interpreter))


def test_what_works_needs_no_remedy() -> None:
    assert namespaces(UBUNTU, user_namespace=FINE, mounts=FINE) == []
    assert list(remedies.for_landlock(UBUNTU, {"landlock": FINE})) == []
    assert list(remedies.for_cgroups(UBUNTU, {"cgroup v2": Attempt(True, "cpuset cpu io memory pids")})) == []


def test_switches_of_the_kernel_are_named() -> None:
    facts = replace(UBUNTU, userns_clone=0, max_user_namespaces=0)
    assert namespaces(facts, user_namespace=REFUSED) == [
        "sudo sysctl -w user.max_user_namespaces=15000",
        "sudo sysctl -w kernel.unprivileged_userns_clone=1",
    ]


def test_apparmor_gets_a_profile_for_the_very_interpreter() -> None:
    (profile,) = namespaces(replace(UBUNTU, apparmor_restricts_userns=True), mounts=REFUSED)
    assert (
        "profile embedenv.opt.py.bin.python3.12 /opt/py/bin/python3.12 flags=(unconfined) {\n  userns,\n}"
        in profile
    )
    assert profile.startswith("sudo tee /etc/apparmor.d/embedenv.opt.py.bin.python3.12 <<'END'")
    assert profile.endswith("\nEND")


def test_apparmor_does_not_hinder_root() -> None:
    facts = replace(UBUNTU, uid=0, user="root", apparmor_restricts_userns=True)
    assert namespaces(facts, mounts=REFUSED) == []


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ("docker", "seccomp=unconfined"),
        ("podman", "unmask=ALL"),
        ("kubernetes", "procMount"),
        ("lxc", "docker run"),
    ],
)
def test_container_is_told_its_own_flags(container: str, said: str) -> None:
    (remedy,) = namespaces(replace(UBUNTU, container=container), user_namespace=REFUSED)
    assert said in remedy


def test_container_that_refuses_nothing_is_left_alone() -> None:
    assert namespaces(replace(UBUNTU, container="docker"), user_namespace=FINE) == []


def test_kernel_without_namespaces_is_named() -> None:
    (remedy,) = namespaces(UBUNTU, user_namespace=Attempt(False, "", errno.ENOSYS))
    assert "CONFIG_USER_NS" in remedy


@pytest.mark.parametrize(
    ("distribution", "command"),
    [
        (("ubuntu", "debian"), "sudo apt-get install bubblewrap"),
        (("linuxmint", "ubuntu", "debian"), "sudo apt-get install bubblewrap"),
        (("rocky", "rhel", "centos", "fedora"), "sudo dnf install bubblewrap"),
        (("manjaro", "arch"), "sudo pacman -S bubblewrap"),
        (("plan9",), "install the package bubblewrap"),
        ((), "install the package bubblewrap"),
    ],
)
def test_missing_bubblewrap_is_installed_in_the_distributions_words(
    distribution: tuple[str, ...], command: str
) -> None:
    facts = replace(UBUNTU, programs={}, distribution=distribution)
    assert list(remedies.for_bwrap(facts, {})) == [command]


def test_bubblewrap_under_apparmor_gets_a_profile_of_its_own() -> None:
    (profile,) = remedies.for_bwrap(replace(UBUNTU, apparmor_restricts_userns=True), {})
    assert "profile embedenv.usr.bin.bwrap /usr/bin/bwrap " in profile


@pytest.mark.parametrize(
    ("refusal", "remedy"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket",
            "sudo usermod -aG docker ada",
        ),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
            "sudo systemctl start docker",
        ),
        ("No such image: docker.io/library/python:3.12-slim", f"docker pull {IMAGE}"),
        ("docker.io/library/python:3.12-slim: image not known", f"docker pull {IMAGE}"),
    ],
)
def test_engine_is_told_by_the_words_of_its_refusal(refusal: str, remedy: str) -> None:
    (found,) = remedies.for_engine(UBUNTU, "docker", refusal, IMAGE)
    assert found.startswith(remedy)


def test_missing_engine_is_installed_but_not_inside_of_a_container() -> None:
    assert list(remedies.for_engine(UBUNTU, "podman", "", IMAGE)) == ["sudo apt-get install podman"]
    inside = replace(UBUNTU, container="docker")
    assert list(remedies.for_engine(inside, "podman", "", IMAGE)) == []


def test_refusal_that_nobody_knows_has_no_remedy() -> None:
    assert list(remedies.for_engine(UBUNTU, "docker", "the moon is full", IMAGE)) == []


@pytest.mark.parametrize(
    ("refusal", "modules", "said"),
    [
        (errno.EOPNOTSUPP, "capability,apparmor", "boot with lsm=landlock,capability,apparmor"),
        (errno.ENOSYS, "", "Linux 5.13"),
    ],
)
def test_kernel_without_landlock_is_told_why(refusal: int, modules: str, said: str) -> None:
    facts = replace(UBUNTU, security_modules=modules)
    (remedy,) = remedies.for_landlock(facts, {"landlock": Attempt(False, "", refusal)})
    assert said in remedy


def test_cgroups_are_delegated_by_systemd_to_users_services_and_root() -> None:
    refused = {"cgroup v2": REFUSED, "cgroup v1": REFUSED}
    user = list(remedies.for_cgroups(UBUNTU, refused))
    assert user[0] == "systemd-run --user --scope -p Delegate=yes jupyter lab"
    assert "Delegate=yes" in user[1]
    assert list(remedies.for_cgroups(replace(UBUNTU, uid=0), refused)) == [
        "systemd-run --scope -p Delegate=yes jupyter lab"
    ]
    (inside,) = remedies.for_cgroups(replace(UBUNTU, container="docker"), refused)
    assert "--memory" in inside


def test_controller_that_alone_is_missing_is_named() -> None:
    """As systemd does it by default: users get memory and pids, not cpu."""
    without_cpu = {"cgroup v2": Attempt(True, "memory pids"), "cgroup v1": REFUSED}
    (user,) = remedies.for_cgroups(UBUNTU, without_cpu)
    assert "Delegate=cpu memory pids" in user
    assert "cpu is not handed down" in user
    assert "\n" not in user, "a command that can be copied"
    for facts in (replace(UBUNTU, has_systemd=False), replace(UBUNTU, container="docker")):
        (other,) = remedies.for_cgroups(facts, without_cpu)
        assert "write +cpu into cgroup.subtree_control" in other
    (older,) = remedies.for_cgroups(UBUNTU, {"cgroup v1": Attempt(True, "memory freezer")})
    assert "pids and cpu of cgroup v1" in older
