"""What would let a tier work, or hold its limits better: exact commands, chosen by the cause that was seen.

Pure: from facts and outcomes to texts.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping

from embedenv_jupyter.sandbox.host_facts import HostFacts
from embedenv_jupyter.sandbox.image import REPOSITORY
from embedenv_jupyter.sandbox.probe_layers import Attempt

_NO_ATTEMPT = Attempt(True)

_PACKAGES = {
    "debian": "sudo apt-get install {}", "ubuntu": "sudo apt-get install {}", "fedora": "sudo dnf install {}",
    "rhel": "sudo dnf install {}", "arch": "sudo pacman -S {}", "suse": "sudo zypper install {}",
    "opensuse": "sudo zypper install {}", "alpine": "sudo apk add {}",
}  # fmt: skip

CONTAINER_FLAGS = {
    "docker": "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined …",
    "podman": "podman run --security-opt seccomp=unconfined --security-opt unmask=ALL …",
    "kubernetes": (
        "securityContext: {seccompProfile: {type: Unconfined}, procMount: Unmasked}   (in the pod's "
        "container; procMount also needs hostUsers: false)"
    ),
}


def install(facts: HostFacts, package: str) -> str:
    """Return the command that installs a package on this distribution."""
    for name in facts.distribution:
        if name in _PACKAGES:
            return _PACKAGES[name].format(package)
    return f"install the package {package}"


def apparmor_profile(program: str) -> str:
    """Return commands that let one program make user namespaces under AppArmor (Ubuntu 23.10 and later)."""
    name = "embedenv" + program.replace("/", ".")
    return (
        f"sudo tee /etc/apparmor.d/{name} <<'END' && sudo apparmor_parser -r /etc/apparmor.d/{name}\n"
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n"
        f"profile {name} {program} flags=(unconfined) {{\n"
        "  userns,\n"
        "}\n"
        "END"
    )


def for_namespaces(facts: HostFacts, layers: Mapping[str, Attempt], program: str) -> Iterator[str]:
    """Say what lets ``program`` make namespaces; nothing where the layers give no reason."""
    if facts.max_user_namespaces == 0:
        yield "sudo sysctl -w user.max_user_namespaces=15000"
    if facts.userns_clone == 0:
        yield "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if facts.apparmor_restricts_userns and not facts.is_root:
        yield apparmor_profile(program)
    if facts.container is not None and _is_refused(layers, "user namespace", "mounts", "network namespace"):
        yield CONTAINER_FLAGS.get(facts.container, CONTAINER_FLAGS["docker"])
    elif layers.get("user namespace", _NO_ATTEMPT).errno in (errno.ENOSYS, errno.EINVAL):
        yield "a kernel with CONFIG_USER_NS, CONFIG_PID_NS and CONFIG_NET_NS"


def _is_refused(layers: Mapping[str, Attempt], *names: str) -> bool:
    return any(layers.get(name, _NO_ATTEMPT).errno in (errno.EPERM, errno.EACCES) for name in names)


def for_bwrap(facts: HostFacts, layers: Mapping[str, Attempt]) -> Iterator[str]:
    """Say what lets bubblewrap work."""
    program = facts.programs.get("bwrap")
    if program is None:
        yield install(facts, "bubblewrap")
    yield from for_namespaces(facts, layers, program or "/usr/bin/bwrap")


def for_landlock(facts: HostFacts, layers: Mapping[str, Attempt]) -> Iterator[str]:
    """Say what gives us Landlock."""
    refusal = layers.get("landlock", _NO_ATTEMPT).errno
    if refusal == errno.EOPNOTSUPP or (facts.security_modules and "landlock" not in facts.security_modules):
        yield f"boot with lsm=landlock,{facts.security_modules or '…'} on the kernel's command line"
    elif refusal == errno.ENOSYS:
        yield "Linux 5.13 with CONFIG_SECURITY_LANDLOCK; 6.7 to restrict the network, 6.12 for signals"
    elif refusal == errno.EPERM and facts.container is not None:
        yield "a container engine whose filter of system calls knows Landlock (Docker 20.10.10 or later)"


def for_engine(facts: HostFacts, engine: str, refusal: str, image: str) -> Iterator[str]:
    """Say what lets a container engine serve us, by the words of its refusal."""
    if engine not in facts.programs:
        if facts.container is not None:
            return  # an engine inside of a container needs far more than its package
        yield install(facts, "docker.io" if engine == "docker" and "debian" in facts.distribution else engine)
        return
    said = refusal.lower()
    if "permission denied" in said and engine == "docker":
        yield f"sudo usermod -aG docker {facts.user}   (then log in again; the group has root's power)"
    elif "cannot connect" in said or "is the docker daemon running" in said or "no such file" in said:
        yield f"sudo systemctl start {engine}" if facts.has_systemd else f"start the {engine} daemon"
    if "no such image" in said or "image not known" in said or "is not here" in said:
        ours = image.removeprefix(f"{REPOSITORY}:")
        yield f"embedenv image load {ours} {engine}" if ours != image else f"{engine} pull {image}"
    if "subuid" in said or "newuidmap" in said:
        yield f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {facts.user}"


def for_cgroups(facts: HostFacts, layers: Mapping[str, Attempt]) -> Iterator[str]:
    """Say what lets cgroups hold the limits, all of them."""
    if not layers:
        return
    for version in ("cgroup v2", "cgroup v1"):  # as gateways prefer them
        if version in layers and layers[version].ok:
            missing = [
                name for name in ("memory", "pids", "cpu") if name not in layers[version].detail.split()
            ]
            if missing:
                yield _for_controllers(facts, version, missing)
            return
    if facts.container is not None:
        yield (
            "the container's own limits (docker run --memory --pids-limit --cpus) bound all rooms together; "
            "for each room: --cgroupns=private with /sys/fs/cgroup mounted writable"
        )
    elif facts.has_systemd and not facts.is_root:
        yield "systemd-run --user --scope -p Delegate=yes jupyter lab"
        yield "or for a service: systemctl edit jupyter.service, and there: [Service] Delegate=yes"
    elif facts.has_systemd:
        yield "systemd-run --scope -p Delegate=yes jupyter lab"


def _for_controllers(facts: HostFacts, version: str, missing: list[str]) -> str:
    """Say what hands down the controllers that are missing, where some are there."""
    if version == "cgroup v2" and facts.has_systemd and not facts.is_root and facts.container is None:
        folder = "/etc/systemd/system/user@.service.d"
        return (
            f"sudo mkdir -p {folder} && printf '[Service]\\nDelegate=cpu memory pids\\n' | "
            f"sudo tee {folder}/embedenv.conf && sudo systemctl daemon-reload   "
            f"(then log in again; {_listed(missing)} is not handed down to users yet)"
        )
    if version == "cgroup v2":
        words = " ".join(f"+{name}" for name in missing)
        return f"write {words} into cgroup.subtree_control of each cgroup above our own, from the root down"
    return f"mount the controller {_listed(missing)} of cgroup v1 where our own cgroup is writable"


def _listed(names: list[str]) -> str:
    return " and ".join(names)
