"""A classic BPF machine, as far as seccomp filters use one (linux/filter.h)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

X86_64, AARCH64 = 0xC000003E, 0xC00000B7


def call(number: int, *arguments: int, arch: int = X86_64) -> bytes:
    """Lay out ``struct seccomp_data`` for one system call."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    return struct.pack("=IIQ6Q", number, arch, 0, *(word & 0xFFFF_FFFF_FFFF_FFFF for word in words))


def run(program: bytes, data: bytes) -> int:
    """Return what the program answers; any fault of the program is an error here."""
    code: Sequence[tuple[int, int, int, int]] = list(struct.iter_unpack("=HBBI", program))
    accumulator = 0
    position = 0
    while True:
        kind, yes, no, value = code[position]
        position += 1
        match kind:
            case 0x20:  # load a word of the data
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:
                accumulator &= value
            case 0x05:
                position += value
            case 0x15:
                position += yes if accumulator == value else no
            case 0x35:
                position += yes if accumulator >= value else no
            case 0x45:
                position += yes if accumulator & value else no
            case 0x06:
                return value
            case _:
                raise AssertionError(f"instruction {kind:#x} at {position - 1} is not known")
