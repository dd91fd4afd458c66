from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedenv_jupyter.sandbox import cgroups
from embedenv_jupyter.sandbox.cgroup_claim import Claim, claim, sweep
from embedenv_jupyter.sandbox.cgroups import GroupV1, GroupV2, Places, places
from embedenv_jupyter.sandbox.spec import MIB, Limits
from tests.unit.sandbox.fake_cgroups import FakeCgroups

LIMITS = Limits(memory_bytes=64 * MIB, pids=20, cpu_cores=0.5)

HYBRID_OWN = """\
8:pids:/
4:memory:/api/42
3:cpu,cpuacct:/
1:name=systemd:/
0::/
"""
HYBRID_MOUNTS = """\
25 20 0:22 / /sys/fs/cgroup rw - tmpfs cgroup rw,mode=755
26 25 0:23 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
27 25 0:24 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
29 25 0:26 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
30 25 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_hybrid_host_has_both_versions() -> None:
    assert places(HYBRID_OWN, HYBRID_MOUNTS) == Places(
        v1={
            "pids": "/sys/fs/cgroup/pids",
            "memory": "/sys/fs/cgroup/memory/api/42",
            "cpu": "/sys/fs/cgroup/cpu,cpuacct",
            "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        },
        v2="/sys/fs/cgroup/unified",
    )


def test_unified_host_has_version_2() -> None:
    found = places(
        "0::/user.slice/user-1000.slice/lab.scope\n",
        "30 25 0:27 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    )
    assert found == Places({}, "/sys/fs/cgroup/user.slice/user-1000.slice/lab.scope")


def test_container_sees_its_part_under_the_mount() -> None:
    mounts = "30 25 0:27 /docker/abc /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory\n"
    assert places("4:memory:/docker/abc/x\n", mounts).v1 == {"memory": "/sys/fs/cgroup/memory/x"}
    assert places("4:memory:/docker/abcd\n", mounts).v1 == {}


def test_what_lies_outside_of_the_mount_is_left_out() -> None:
    mounts = "30 25 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    assert places("0::/../other\n", mounts).v2 is None


def test_this_machine_is_understood() -> None:
    found = cgroups.current_places()
    for folder in (*found.v1.values(), *filter(None, [found.v2])):
        assert os.path.exists(f"{folder}/cgroup.procs"), folder


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCgroups:
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid)
    return FakeCgroups(tmp_path, monkeypatch)


@pytest.fixture
def claims() -> Iterator[list[Claim]]:
    made: list[Claim] = []
    yield made
    for claimed in made:
        claimed.close()


def test_limits_of_version_2(fake: FakeCgroups, claims: list[Claim]) -> None:
    own = fake.make_v2("lab", "cpu io memory pids")
    claims.append(claimed := claim(Places({}, own)))
    assert claimed.version == 2
    assert claimed.controllers == {"cpu", "memory", "pids", "freezer"}
    group = claimed.create("room-1", LIMITS)
    (folder,) = group.folders
    assert Path(folder).parent.parent == Path(own)
    assert fake.value(folder, "memory.max") == str(64 * MIB)
    assert fake.value(folder, "memory.swap.max") == "0"
    assert fake.value(folder, "memory.oom.group") == "0"
    assert fake.value(folder, "pids.max") == "20"
    assert fake.value(folder, "cpu.max") == "50000 100000"
    group.remove()
    group.remove()


def test_no_limit_is_left_as_the_kernel_has_it(fake: FakeCgroups, claims: list[Claim]) -> None:
    claims.append(claimed := claim(Places({}, fake.make_v2("lab", "cpu memory pids"))))
    (folder,) = claimed.create("r", Limits(memory_bytes=None, pids=None, cpu_cores=None)).folders
    assert fake.value(folder, "memory.max") == fake.value(folder, "pids.max") == "max"
    assert fake.value(folder, "cpu.max").startswith("max")


def test_controllers_that_are_not_handed_down_are_not_claimed(fake: FakeCgroups, claims: list[Claim]) -> None:
    claims.append(claimed := claim(Places({}, fake.make_v2("lab", "memory pids"))))
    assert claimed.controllers == {"memory", "pids", "freezer"}
    claimed.create("room", LIMITS)  # and writes no cpu.max, which is not there


def test_counters_of_version_2(fake: FakeCgroups, claims: list[Claim]) -> None:
    claims.append(claimed := claim(Places({}, fake.make_v2("lab", "cpu memory pids"))))
    group = claimed.create("room", LIMITS)
    folder = Path(group.folders[0])
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n")
    (folder / "memory.current").write_text("9000000\n")
    (folder / "memory.peak").write_text("12000000\n")
    (folder / "memory.stat").write_text("anon 5000000\ninactive_file 1000000\nactive_file 7\n")
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n")
    (folder / "pids.current").write_text("7\n")
    (folder / "pids.events").write_text("max 4\n")
    counted = group.counters()
    assert (counted.cpu_s, counted.memory_bytes, counted.memory_peak_bytes) == (1.5, 8_000_000, 12_000_000)
    assert (counted.pids, counted.oom_kills, counted.pid_refusals) == (7, 2, 4)


def test_group_that_is_gone_counts_nothing() -> None:
    gone = GroupV2(("/nonexistent/room",), frozenset({"memory"})).counters()
    assert (gone.cpu_s, gone.memory_bytes, gone.pids, gone.oom_kills) == (None, None, None, 0)
    assert GroupV1((), {}).counters() == gone


def test_freezing_in_version_2(fake: FakeCgroups, claims: list[Claim]) -> None:
    claims.append(claimed := claim(Places({}, fake.make_v2("lab", "memory pids"))))
    group = claimed.create("room", LIMITS)
    assert group.freeze(True)
    assert fake.value(group.folders[0], "cgroup.freeze") == "1"
    assert group.freeze(False)
    assert fake.value(group.folders[0], "cgroup.freeze") == "0"


def test_gateway_steps_aside_in_a_group_of_its_own(fake: FakeCgroups, claims: list[Claim]) -> None:
    own = fake.make_v2("lab.scope", "memory pids", procs=str(os.getpid()))
    claims.append(claimed := claim(Places({}, own)))
    assert claimed.controllers == {"memory", "pids", "freezer"}
    assert fake.members(own) == []
    leaf = next(path for path in Path(own).iterdir() if path.name.endswith("-gateway"))
    assert fake.members(str(leaf)) == [os.getpid()]
    # A second tier of the same process finds itself in the leaf, and goes beside it.
    claims.append(second := claim(Places({}, str(leaf))))
    assert Path(second.folders[0]).parent == Path(own)


def test_gateway_goes_back_where_others_share_its_group(fake: FakeCgroups) -> None:
    own = fake.make_v2("session.scope", "memory pids", procs=f"{os.getpid()}\n1")
    with pytest.raises(OSError, match=r"other processes run in .*/session\.scope itself"):
        claim(Places({}, own))
    assert sorted(fake.members(own)) == sorted([1, os.getpid()])
    assert fake.groups() == ["session.scope"]


def test_root_does_not_divide_what_is_not_delegated(
    fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.make_v2("system.slice", "memory pids")
    own = fake.make_v2("system.slice/lab.service", "memory pids", procs=str(os.getpid()))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(OSError, match=r"not delegated to us \(systemd: Delegate=yes\)"):
        claim(Places({}, own))
    assert fake.members(own) == [os.getpid()]
    assert fake.groups() == ["system.slice", "system.slice/lab.service"]


def test_folder_that_may_not_be_written_says_so(fake: FakeCgroups) -> None:
    own = fake.make_v2("lab", "memory pids")
    fake.read_only.add(own)
    with pytest.raises(OSError, match="Permission denied") as caught:
        claim(Places({}, own))
    assert caught.value.errno == errno.EACCES


def test_no_hierarchy_at_all_says_so() -> None:
    with pytest.raises(OSError, match="v2: is not mounted; cgroup v1: no hierarchy is mounted"):
        claim(Places({}, None))


def v1_places(fake: FakeCgroups) -> Places:
    cpu = fake.make_v1("cpu,cpuacct/lab", "cpu,cpuacct")
    singles = {name: fake.make_v1(f"{name}/lab", name) for name in ("memory", "pids", "freezer")}
    return Places({**singles, "cpu": cpu, "cpuacct": cpu}, None)


def test_limits_of_version_1(fake: FakeCgroups, claims: list[Claim]) -> None:
    claims.append(claimed := claim(v1_places(fake)))
    assert claimed.version == 1
    assert claimed.controllers == {"memory", "pids", "cpu", "cpuacct", "freezer"}
    group = claimed.create("room-1", LIMITS)
    assert len(group.folders) == 4  # cpu and cpuacct are one folder
    assert isinstance(group, GroupV1)
    memory = group.by_controller["memory"]
    assert fake.value(memory, "memory.limit_in_bytes") == str(64 * MIB)
    assert fake.value(memory, "memory.memsw.limit_in_bytes") == str(64 * MIB)
    assert fake.value(group.by_controller["pids"], "pids.max") == "20"
    assert fake.value(group.by_controller["cpu"], "cpu.cfs_quota_us") == "50000"
    assert group.freeze(True)
    assert fake.value(group.by_controller["freezer"], "freezer.state") == "FROZEN"


def test_counters_of_version_1(fake: FakeCgroups, claims: list[Claim]) -> None:
    claims.append(claimed := claim(v1_places(fake)))
    group = claimed.create("room", LIMITS)
    assert isinstance(group, GroupV1)
    Path(group.by_controller["cpuacct"], "cpuacct.usage").write_text("2500000000\n")
    Path(group.by_controller["memory"], "memory.usage_in_bytes").write_text("500\n")
    Path(group.by_controller["memory"], "memory.stat").write_text("total_inactive_file 600\n")
    Path(group.by_controller["memory"], "memory.oom_control").write_text("under_oom 0\noom_kill 3\n")
    counted = group.counters()
    assert (counted.cpu_s, counted.memory_bytes, counted.oom_kills) == (2.5, 0, 3)


def test_hierarchies_that_refuse_are_left_out(fake: FakeCgroups, claims: list[Claim]) -> None:
    found = v1_places(fake)
    fake.read_only.update({found.v1["cpu"], found.v1["freezer"]})
    claims.append(claimed := claim(found))
    assert claimed.controllers == {"memory", "pids"}
    assert not claimed.create("room", LIMITS).freeze(True)


def test_version_1_without_memory_and_pids_is_not_worth_it(fake: FakeCgroups) -> None:
    found = v1_places(fake)
    fake.read_only.update({found.v1["memory"], found.v1["pids"]})
    with pytest.raises(OSError, match="memory: Permission denied, pids: Permission denied"):
        claim(found)
    assert all("embedenv" not in folder for folder in fake.groups())


def test_group_that_cannot_be_limited_is_not_left_behind(fake: FakeCgroups, claims: list[Claim]) -> None:
    claims.append(claimed := claim(v1_places(fake)))

    def refuse(path: str, text: str) -> None:
        raise OSError(errno.EINVAL, "Invalid argument", path)

    before = fake.groups()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cgroups, "write", refuse)
        with pytest.raises(OSError, match="Invalid argument"):
            claimed.create("room", LIMITS)
    assert fake.groups() == before


def test_closing_gives_everything_up(fake: FakeCgroups) -> None:
    found = v1_places(fake)
    before = fake.groups()
    claimed = claim(found)
    claimed.create("room", LIMITS)
    claimed.close()
    claimed.close()
    assert fake.groups() == before


def test_what_a_dead_gateway_left_is_swept_and_what_a_living_one_has_is_not(
    fake: FakeCgroups, claims: list[Claim]
) -> None:
    own = fake.make_v2("lab", "memory pids")
    claims.append(living := claim(Places({}, own)))
    room = living.create("room-1", LIMITS).folders[0]
    dead = f"{own}/embedenv-1-dead"
    fake.make(dead)
    fake.write(f"{dead}/cgroup.subtree_control", "+memory +pids")
    fake.make(f"{dead}/room-1")
    fake.write(f"{dead}/room-1/cgroup.freeze", "1")
    sweep(own)
    assert not os.path.exists(dead)
    assert os.path.exists(room)


def test_claim_is_locked_while_it_is_held(fake: FakeCgroups) -> None:
    claimed = claim(Places({}, fake.make_v2("lab", "memory pids")))
    other = os.open(claimed.folders[0], os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)
        claimed.close()
