from __future__ import annotations

import errno
import re
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedenv_jupyter.sandbox import seccomp, syscalls
from tests.unit.sandbox.bpf import AARCH64, X86_64, call, run

ALLOW, KILL = 0x7FFF0000, 0x80000000
REFUSED = 0x50000 | errno.EPERM
UNKNOWN = 0x50000 | errno.ENOSYS
NO_FAMILY = 0x50000 | errno.EAFNOSUPPORT
HIGH = 0xDEAD_BEEF << 32

OPTIONS = seccomp.Options()
NOT_SUPPORTED = 0x50000 | errno.EOPNOTSUPP
STRICT = seccomp.Options(
    deny_shared_memory=True, deny_uncounted_memory=True, deny_affinity=True, deny_datagrams=True
)
TABLES = {
    **seccomp._REFUSED, **seccomp._SHARED_MEMORY, **seccomp._UNCOUNTED_MEMORY, **seccomp._AFFINITY,
    **seccomp._judged(STRICT),
}  # fmt: skip

PROGRAMS = {("x86_64", options): seccomp.build(options, "x86_64") for options in (OPTIONS, STRICT)} | {
    ("aarch64", options): seccomp.build(options, "aarch64") for options in (OPTIONS, STRICT)
}


def judge(name: str, *arguments: int, options: seccomp.Options = OPTIONS) -> int:
    """Ask the filter of x86_64 about a call by its name; that of aarch64 must say the same."""
    answers = set()
    for column, (machine, arch) in enumerate((("x86_64", X86_64), ("aarch64", AARCH64))):
        number = TABLES[name][column]
        if number is not None:
            answers.add(run(PROGRAMS[machine, options], call(number, *arguments, arch=arch)))
    assert len(answers) == 1, f"{name}: the machines differ: {answers}"
    return answers.pop()


@pytest.mark.parametrize("name", sorted(seccomp._REFUSED))
def test_call_of_the_deny_list_is_refused(name: str) -> None:
    assert judge(name) == REFUSED


@pytest.mark.parametrize("number", [0, 1, 2, 9, 57, 59, 60, 231, 257, 319, 439, 444, 446, 462])
def test_ordinary_call_is_allowed(number: int) -> None:
    assert run(PROGRAMS["x86_64", OPTIONS], call(number)) == ALLOW


@pytest.mark.parametrize("number", [463, 500, 0x3FFFFFFF])
def test_call_that_nobody_has_judged_does_not_exist(number: int) -> None:
    assert run(PROGRAMS["x86_64", OPTIONS], call(number)) == UNKNOWN


@pytest.mark.parametrize("number", [0, 41, 101, 165, 520])
def test_x32_does_not_exist(number: int) -> None:
    assert run(PROGRAMS["x86_64", OPTIONS], call(0x40000000 | number)) == UNKNOWN


@pytest.mark.parametrize("arch", [0x40000003, 0xC00000B7, 0])
def test_call_table_of_another_machine_kills(arch: int) -> None:
    assert run(PROGRAMS["x86_64", OPTIONS], call(1, arch=arch)) == KILL


def test_clone3_does_not_exist_because_its_flags_cannot_be_read() -> None:
    assert judge("clone3") == UNKNOWN


NAMESPACES = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]


@pytest.mark.parametrize("flags", NAMESPACES)
@pytest.mark.parametrize("name", ["clone", "unshare"])
def test_new_namespace_is_refused(name: str, flags: int) -> None:
    assert judge(name, flags | 17) == REFUSED
    assert judge(name, flags | HIGH) == REFUSED


def test_time_namespace_is_refused_where_its_bit_means_that() -> None:
    assert judge("unshare", syscalls.CLONE_NEWTIME) == REFUSED
    assert judge("clone", 0x80) == ALLOW  # here it is part of the exit signal


@pytest.mark.parametrize("flags", [17, 0x4111, 0x3D0F00, 0x1200011])
def test_fork_vfork_and_threads_are_allowed(flags: int) -> None:
    assert judge("clone", flags) == ALLOW


@pytest.mark.parametrize("command", [0x5412, 0x541C, 0x5423, 0x5412 | HIGH, 0x541C | 1 << 32])
def test_typing_into_a_terminal_is_refused_whatever_the_high_half_says(command: int) -> None:
    assert judge("ioctl", 0, command) == REFUSED


@pytest.mark.parametrize("command", [0x5401, 0x5413, 0x5414, 0x8914, 0x5412 << 32])
def test_other_ioctls_are_allowed(command: int) -> None:
    assert judge("ioctl", 0, command) == ALLOW


@pytest.mark.parametrize("domain", [d for d in range(46) if d not in (1, 2, 10, 16)])
def test_socket_families_beyond_the_list_do_not_exist(domain: int) -> None:
    assert judge("socket", domain, 1, 0) == NO_FAMILY
    assert judge("socket", domain | HIGH, 1, 0) == NO_FAMILY


@pytest.mark.parametrize("domain", [socket.AF_INET, socket.AF_INET6])
@pytest.mark.parametrize(
    ("kind", "protocol"), [(1, 0), (1, 6), (2, 0), (2, 17), (2, 1), (2, 58), (1 | 0o2000000, 0)]
)
def test_internet_sockets_of_known_protocols_are_allowed(domain: int, kind: int, protocol: int) -> None:
    assert judge("socket", domain, kind, protocol) == ALLOW


@pytest.mark.parametrize("protocol", [33, 132, 136, 256, 262, 132 | HIGH])
def test_protocols_whose_modules_a_socket_would_load_do_not_exist(protocol: int) -> None:
    assert judge("socket", socket.AF_INET, 1, protocol) == NO_FAMILY


def test_netlink_is_only_for_routes() -> None:
    assert judge("socket", 16, 3, 0) == ALLOW
    assert judge("socket", 16, 3, 12) == NO_FAMILY
    assert judge("socket", 16, 3, 9 | HIGH) == NO_FAMILY


def test_pairs_are_of_unix_sockets() -> None:
    assert judge("socketpair", 1, 1, 0) == ALLOW
    assert judge("socketpair", 30, 1, 0) == NO_FAMILY


@pytest.mark.parametrize("value", [0, 8, 0x20000, 0x40000, 0xFFFFFFFF])
def test_harmless_personalities_are_allowed(value: int) -> None:
    assert judge("personality", value) == ALLOW


@pytest.mark.parametrize("value", [0x400000, 0x100000, 0x0800000, 4])
def test_other_personalities_are_refused(value: int) -> None:
    assert judge("personality", value) == REFUSED


def test_leases_that_keep_others_waiting_are_refused() -> None:
    assert judge("fcntl", 3, 1024, 1) == REFUSED
    assert judge("fcntl", 3, 1024 | HIGH, 1) == REFUSED
    assert judge("fcntl", 3, 1025) == ALLOW


def test_limits_are_changed_by_their_owner_only() -> None:
    assert judge("prlimit64", 0, 7, 0x7FFE_0000_0000, 0) == ALLOW
    assert judge("prlimit64", 1, 7, 0x7FFE_0000_0000, 0) == REFUSED
    assert judge("prlimit64", 4711, 7, 0x1000, 0) == REFUSED


def test_limits_of_others_may_be_asked_for() -> None:
    assert judge("prlimit64", 1, 7, 0, 0x7FFE_0000_0000) == ALLOW


@pytest.mark.parametrize("name", seccomp._SCHEDULING)
def test_scheduling_of_the_supervisor_is_out_of_reach(name: str) -> None:
    assert judge(name, 1) == REFUSED
    assert judge(name, 1 | HIGH) == REFUSED
    assert judge(name, 0) == ALLOW
    assert judge(name, 42) == ALLOW


@pytest.mark.parametrize(
    ("name", "process", "groups"), [("setpriority", 0, (1, 2)), ("ioprio_set", 1, (2, 3))]
)
def test_priority_of_the_supervisor_is_out_of_reach(name: str, process: int, groups: tuple[int, int]) -> None:
    assert judge(name, process, 0, 19) == ALLOW
    assert judge(name, process, 42, 19) == ALLOW
    assert judge(name, process, 1, 19) == REFUSED
    for group in groups:
        assert judge(name, group, 0, 19) == REFUSED


@pytest.mark.parametrize("name", [*seccomp._SHARED_MEMORY, "sched_setaffinity"])
def test_what_options_refuse_is_allowed_without_them(name: str) -> None:
    assert judge(name) == ALLOW
    assert judge(name, options=STRICT) == REFUSED


def test_shared_network_has_no_datagrams() -> None:
    assert judge("socket", 2, 1, 0, options=STRICT) == ALLOW
    assert judge("socket", 2, 1 | 0o2000000, 6, options=STRICT) == ALLOW
    assert judge("socket", 2, 2, 0, options=STRICT) == REFUSED
    assert judge("socket", 10, 2 | 0o4000, 17, options=STRICT) == REFUSED
    assert judge("socket", 2, 3, 0, options=STRICT) == REFUSED
    assert judge("socket", 1, 2, 0, options=STRICT) == ALLOW


POINTERS_COUNT = seccomp._JUDGED["prlimit64"]
words = st.integers(0, 2**64 - 1) | st.integers(0, 64) | st.sampled_from(NAMESPACES)


@given(st.integers(0, 2**32 - 1) | st.integers(0, 470), st.lists(words, max_size=6))
def test_every_call_has_an_outcome_that_low_halves_decide(number: int, arguments: list[int]) -> None:
    for program in PROGRAMS.values():
        for arch in (X86_64, AARCH64):
            answer = run(program, call(number, *arguments, arch=arch))
            assert answer in (ALLOW, KILL, REFUSED, UNKNOWN, NO_FAMILY)
            low = [word & 0xFFFFFFFF for word in arguments]
            if number not in POINTERS_COUNT:
                assert run(program, call(number, *low, arch=arch)) == answer


@given(st.integers(0, 470), st.lists(words, max_size=6))
def test_options_only_ever_take_away(number: int, arguments: list[int]) -> None:
    data = call(number, *arguments)
    if run(PROGRAMS["x86_64", STRICT], data) == ALLOW:
        assert run(PROGRAMS["x86_64", OPTIONS], data) == ALLOW


def test_other_machines_are_named() -> None:
    with pytest.raises(OSError, match="no seccomp filter for riscv64") as caught:
        seccomp.build(machine="riscv64")
    assert caught.value.errno == errno.ENOSYS


def test_program_is_as_the_kernel_wants_it() -> None:
    for program in PROGRAMS.values():
        code = list(struct.iter_unpack("=HBBI", program))
        assert len(code) < 4096
        assert code[-1][0] == 0x06


HEADERS = [
    (0, Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), r"#define __NR_(\w+)\s+(\d+)"),
    (1, Path("/usr/include/asm-generic/unistd.h"), r"#define __NR(?:3264)?_(\w+)\s+(\d+)"),
]


@pytest.mark.parametrize(("column", "header", "pattern"), HEADERS, ids=["x86_64", "aarch64"])
def test_numbers_are_those_of_the_kernels_headers(column: int, header: Path, pattern: str) -> None:
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    known = {name: int(number) for name, number in re.findall(pattern, header.read_text())}
    for name, numbers in {**TABLES, **syscalls._NUMBERS}.items():
        if name in known and numbers[column] is not None:
            assert numbers[column] == known[name], name


@pytest.mark.parametrize(("flags", "is_refused"), [(0x21, True), (0x121, True), (0x22, False), (0x01, False)])
def test_shared_anonymous_mapping_is_refused_where_nothing_counts_it(flags: int, is_refused: bool) -> None:
    assert judge("mmap", 0, 4096, 3, flags, options=STRICT) == (REFUSED if is_refused else ALLOW)
    assert judge("mmap", 0, 4096, 3, flags) == ALLOW


def test_ruleset_of_landlock_is_refused_where_nothing_counts_it() -> None:
    assert judge("landlock_create_ruleset", options=STRICT) == REFUSED
    assert judge("landlock_create_ruleset") == ALLOW


@pytest.mark.parametrize(
    ("flags", "is_refused"), [(0x100, True), (0x4100, False), (0x10100, False), (0x11, False)]
)
def test_process_with_the_memory_of_another_is_refused_where_nothing_counts_it(
    flags: int, is_refused: bool
) -> None:
    assert judge("clone", flags | 17, options=STRICT) == (REFUSED if is_refused else ALLOW)
    assert judge("clone", flags | 17) == ALLOW


@pytest.mark.parametrize(("name", "place"), [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)])
def test_sending_does_not_connect_where_connecting_is_refused(name: str, place: int) -> None:
    for flags, expected in (
        (0, ALLOW),
        (0x4000, ALLOW),
        (0x20000000, NOT_SUPPORTED),
        (0x20004000, NOT_SUPPORTED),
    ):
        arguments = [0] * place + [flags]
        assert judge(name, *arguments, options=STRICT) == expected
        assert judge(name, *arguments) == ALLOW


@pytest.mark.parametrize("kind", [4, 5, 6, 10])
def test_unusual_type_of_socket_does_not_exist(kind: int) -> None:
    for family in (socket.AF_INET, socket.AF_INET6):
        assert judge("socket", family, kind | 0x80000, 0) == NO_FAMILY
        assert judge("socket", family, kind, 0, options=STRICT) == NO_FAMILY
