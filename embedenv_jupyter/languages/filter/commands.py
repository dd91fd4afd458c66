"""What a command line means: programs by name, and which of their words matter."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from embedenv_jupyter.languages.filter.facts import SELF, Fact, Name, Opened, Program, Removed
from embedenv_jupyter.languages.filter.rules import (
    CONTAINER_SOCKET,
    KERNEL_CALL,
    KERNEL_FILES,
    NAMESPACES,
    POWER,
    RAW_DEVICE,
    Rule,
)

Words = tuple[str | Name | None, ...]

REFUSED: Final = {
    **dict.fromkeys(("nsenter", "unshare", "pivot_root", "switch_root", "chroot", "umount"), NAMESPACES),
    **dict.fromkeys(("insmod", "rmmod", "modprobe", "kexec", "bpftool", "keyctl"), KERNEL_CALL),
    **dict.fromkeys(("swapon", "swapoff"), KERNEL_CALL),
    **dict.fromkeys(("shutdown", "reboot", "halt", "poweroff"), POWER),
}
"""Programs that are refused whatever their words, unless these ask for help."""
ASKING_FOR_HELP: Final = {"--help", "--version", "-V"}

_INTERPRETERS: Final = {
    **dict.fromkeys(("sh", "bash", "dash", "zsh", "ksh", "ash"), ("bash", "-c")),
    **dict.fromkeys(("python", "python3"), ("python", "-c")),
    **dict.fromkeys(("node", "nodejs"), ("javascript", "-e")),
    "php": ("php", "-r"),
    "ruby": ("ruby", "-e"),
}
"""Programs that run a text: its language, and the option that it follows."""

WRAPPERS: Final[dict[str, set[str]]] = {
    "sudo": {"-u", "-g", "-p", "-C", "-D", "-r", "-t"},
    "doas": {"-u", "-C"},
    "env": {"-u", "-C"},
    "nohup": set(),
    "setsid": set(),
    "nice": {"-n"},
    "ionice": {"-c", "-n"},
    "time": {"-f", "-o"},
    "timeout": {"-s", "-k"},
    "stdbuf": {"-i", "-o", "-e"},
    "xargs": {"-I", "-n", "-P", "-d", "-L", "-a", "-E", "-s"},
    "busybox": set(),
    "command": set(),
    "builtin": set(),
    "exec": {"-a"},
}
"""Programs that start another one: the options of each that take the next word as their value."""

DEVICE_TOOLS: Final = {"shred", "wipefs", "blkdiscard", "fdisk", "sfdisk", "parted", "mkswap", "badblocks"}
WRITERS: Final = {"tee", "truncate", "shred"}
COPIERS: Final = {"cp", "mv", "install", "ln"}
READERS: Final = {"cat", "head", "tail", "xxd", "od", "hexdump", "strings", "less", "more", "base64", "grep"}
SOCKET_CLIENTS: Final = {"curl", "socat", "nc", "ncat", "docker", "podman", "nerdctl", "crictl", "ctr"}
_SOCKET: Final = re.compile(r"/[\w/]*/(?:docker|containerd|crio|podman)\.sock")
_RECURSIVE: Final = re.compile(r"--recursive|-[a-zA-Z]*[rR][a-zA-Z]*")


def meaning(words: Words) -> Iterator[Rule | Fact]:
    """Say what a command does: rules that it is against as it stands, and facts to be judged."""
    words = unwrapped(words)
    if not words or not isinstance(words[0], str):
        return
    name, rest = words[0].rpartition("/")[2], words[1:]
    texts = [word for word in rest if isinstance(word, str)]
    if name in REFUSED and not ASKING_FOR_HELP & set(texts):
        yield REFUSED[name]
    elif interpreter := interpreter_of(name):
        yield from _text_to_run(*interpreter, rest)
    elif name == "eval":
        yield Program("bash", " ".join(texts))
    else:
        yield from _system_tools(name, rest, texts)
        yield from _files(name, texts)


def interpreter_of(program: str) -> tuple[str, str] | None:
    """Say which language a program runs, and the option that a text to run follows."""
    name = re.sub(r"(?<=python3)\.\d+\Z", "", program.rpartition("/")[2])
    return _INTERPRETERS.get(name)


def _text_to_run(language: str, option: str, words: Words) -> Iterator[Fact]:
    for word, text in itertools.pairwise(words):
        if not isinstance(word, str) or not word.startswith("-"):
            return
        # `bash -ec TEXT`: options of one letter may stand together.
        if (word == option or (not word.startswith("--") and word.endswith(option[1]))) and isinstance(
            text, str
        ):
            yield Program(language, text)
            return


def _system_tools(name: str, words: Words, texts: list[str]) -> Iterator[Rule]:
    is_device = any(text.startswith("/dev/") for text in texts)
    if (name in DEVICE_TOOLS or name == "mkfs" or name.startswith("mkfs.")) and is_device:
        yield RAW_DEVICE
    elif name == "mount" and _mounts(words):
        yield NAMESPACES
    elif name == "sysctl" and any("=" in text or text in ("-w", "-p", "--write") for text in texts):
        yield KERNEL_FILES
    elif name in SOCKET_CLIENTS and any(_SOCKET.search(text) for text in texts):
        yield CONTAINER_SOCKET
    elif _ends_the_machine(name, texts):
        yield POWER


def _ends_the_machine(name: str, texts: list[str]) -> bool:
    if name == "systemctl":
        return bool({"reboot", "poweroff", "halt", "kexec"} & set(texts))
    return name in ("init", "telinit") and texts in (["0"], ["6"])


def _mounts(words: Words) -> bool:
    """Tell whether ``mount`` mounts: without a place to mount it only shows what is."""
    if {"-a", "--all", "--bind", "--rbind", "--move"} & set(words):
        return True
    if {"-h", "--help", "-V", "--version"} & set(words):
        return False
    valued = {"-t", "-o", "-L", "-U", "-O"}
    places = [
        word
        for before, word in zip((None, *words), words, strict=False)
        if before not in valued and not (isinstance(word, str) and word.startswith("-"))
    ]
    return bool(places)


def _files(name: str, texts: list[str]) -> Iterator[Fact]:
    plain = [text for text in texts if not text.startswith("-")]
    recursive = any(_RECURSIVE.fullmatch(text) for text in texts)
    if name == "rm" and (recursive or "--no-preserve-root" in texts):
        yield from map(Removed, plain)
    elif name in ("chmod", "chown", "chgrp") and recursive:
        yield from map(Removed, plain[1:])
    elif name == "mv" and len(plain) > 1:
        yield from map(Removed, plain[:-1])
        yield Opened(plain[-1], writes=True)
    elif name == "find" and ("-delete" in texts or ("-exec" in texts and "rm" in texts)):
        # With a test such as -name it removes some files, not the tree.
        if not {"-name", "-iname", "-path", "-regex", "-empty", "-mtime", "-newer", "-user"} & set(texts):
            yield from map(Removed, plain[:1])
    elif name == "dd":
        yield from (
            Opened(text[3:], writes=text[0] == "o") for text in texts if text.startswith(("of=", "if="))
        )
    elif name in WRITERS:
        yield from (Opened(text, writes=True) for text in plain)
    elif name in COPIERS and len(plain) > 1:
        yield Opened(plain[-1], writes=True)
    elif name in READERS:
        yield from (Opened(text, writes=False) for text in plain)


def unwrapped(words: Words) -> Words:
    """Take away what only starts another program: ``sudo -u x env A=b rm …`` is ``rm …``."""
    for _ in range(8):
        name = words[0].rpartition("/")[2] if words and isinstance(words[0], str) else ""
        if name not in WRAPPERS or (name == "command" and words[1:2] in (("-v",), ("-V",))):
            break
        index = 1
        while index < len(words) and _is_option(words[index]):
            index += 2 if words[index] in WRAPPERS[name] else 1
        words = words[index + (name == "timeout") :]
    return words


def _is_option(word: str | Name | None) -> bool:
    return isinstance(word, str) and (word.startswith("-") or "=" in word)


def starts_itself(words: Words) -> bool:
    """Tell whether all that is started is the running program, with no words of its own or the same ones."""
    words = unwrapped(words)
    if len(words) > 1 and words[1] == SELF and _may_interpret(words[0]):
        words = words[1:]
    return (
        bool(words) and words[0] in (SELF, "/proc/self/exe") and all(word == Name("$@") for word in words[1:])
    )


def _may_interpret(word: str | Name | None) -> bool:
    """Tell whether a program may run sources; a name, such as sys.executable, stands for one that does."""
    return not isinstance(word, str) or interpreter_of(word) is not None
