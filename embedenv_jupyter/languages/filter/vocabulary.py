r"""The calls of each language that matter, as data: what starts programs, opens files, asks the kernel.

Names are written with dots and without what their language puts before them
(``std::``, ``\``); ``X().y`` is the method ``y`` of what ``X()`` gave.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from embedenv_jupyter.languages.filter.rules import RULE_OF_CALL


@dataclass(frozen=True)
class Vocabulary:
    """Each field lists names of calls; the text below a field says what its calls do."""

    forks: frozenset[str] = frozenset()
    """Make a second process of this one."""
    spawns: frozenset[str] = frozenset()
    """Start a process, or a thread, and do not wait for it."""
    lines: frozenset[str] = frozenset()
    """Run their first argument as a line of the shell."""
    words: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Run their arguments, laid out flat, as the words of a command; not those at these places."""
    replaces: frozenset[str] = frozenset()
    """Those of the above that end the program that calls them."""
    opens: Mapping[str, int] = field(default_factory=dict)
    """Open the file of their first argument; the argument at this place says how."""
    writes: frozenset[str] = frozenset()
    """Write to the file of their first argument."""
    copies: frozenset[str] = frozenset()
    """Write to the file of their second argument."""
    connects: frozenset[str] = frozenset()
    """Connect to an address in their first argument. They match by the last part of the name."""
    removes: frozenset[str] = frozenset()
    """Remove the tree of their first argument."""
    evaluates: Mapping[str, str] = field(default_factory=dict)
    """Run their first argument as a program in this language."""
    kernel: re.Pattern[str] = re.compile(r"(?!)")
    """Matches up to the name of a system call, in the name of a call that asks the kernel for it."""
    numbered: re.Pattern[str] = re.compile(r"(?!)")
    """Matches calls whose first argument is the number of a system call, or a name for it."""
    marks: tuple[str, ...] = ()
    """What else can matter in a text: code without any of these and of the names is not read at all."""

    @cached_property
    def mark(self) -> re.Pattern[str]:
        """Finds whatever can lead to a finding."""
        names = {*self.forks, *self.spawns, *self.lines, *self.words, *self.opens, *self.writes, *self.copies}
        names |= {*self.connects, *self.removes, *self.evaluates}
        words = {name.rpartition(".")[2] for name in names} | {*self.marks, "syscall"}
        if self.kernel.pattern != "(?!)":
            words |= set(RULE_OF_CALL)
        return re.compile("|".join(map(re.escape, sorted(words))), re.IGNORECASE)


NO_MODE: Final = 99
"""For calls that only read: no argument says how."""


def _names(prefix: str, names: str) -> frozenset[str]:
    return frozenset(prefix + name for name in names.split())


_PYTHON_EXECS = "execl execle execlp execlpe"
_PYTHON_EXECVS = "execv execve execvp execvpe posix_spawn posix_spawnp"
_PYTHON_SPAWNS = "spawnl spawnle spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe"
_SUBPROCESS = "Popen run call check_call check_output"

PYTHON: Final = Vocabulary(
    forks=_names("os.", "fork forkpty"),
    spawns=_names("os.", f"{_PYTHON_SPAWNS} posix_spawn posix_spawnp popen")
    | _names("multiprocessing.", "Process context.Process")
    | {"subprocess.Popen", "threading.Thread", "_thread.start_new_thread", "pty.fork"},
    lines=_names("os.", "system popen")
    | _names("subprocess.", "getoutput getstatusoutput")
    | {"asyncio.create_subprocess_shell", "commands.getoutput", "pty.spawn"},
    words=dict.fromkeys(_names("subprocess.", _SUBPROCESS), ())
    | dict.fromkeys(_names("os.", f"{_PYTHON_EXECS} {_PYTHON_EXECVS}"), (1,))
    | dict.fromkeys(_names("os.", _PYTHON_SPAWNS), (0, 2))
    | {"asyncio.create_subprocess_exec": (), "pty.spawn": ()},
    replaces=_names("os.", f"{_PYTHON_EXECS} execv execve execvp execvpe"),
    opens={"open": 1, "io.open": 1, "os.open": 1, "os.fdopen": 1, "codecs.open": 1, "pathlib.Path().open": 0},
    writes=_names("pathlib.Path().", "write_text write_bytes touch") | {"os.truncate"},
    copies=_names("shutil.", "copy copy2 copyfile move") | _names("os.", "rename replace"),
    connects=frozenset(
        {"connect", "connect_ex", "open_unix_connection", "create_unix_connection", "DockerClient"}
    ),
    removes=_names("shutil.", "rmtree"),
    evaluates={"exec": "python", "eval": "python", "compile": "python", "builtins.exec": "python"},
    kernel=re.compile(
        r"os\.|ctypes\.(?:CDLL\(\)|PyDLL\(\)|cdll\.LoadLibrary\(\)|cdll\.\w+|pythonapi)\.|.*\bdlopen\(\)\."
    ),
    numbered=re.compile(r"(?:ctypes\..*|.*\bdlopen\(\))\.syscall"),
    marks=("ctypes", "dlopen"),
)

_C_EXECS = ("execl", "execle", "execlp", "execv", "execve", "execvp", "execvpe", "fexecve")

C: Final = Vocabulary(
    forks=frozenset({"fork", "vfork", "_Fork", "forkpty"}),
    spawns=frozenset({"clone", "clone3", "pthread_create", "posix_spawn", "posix_spawnp", "popen"}),
    lines=frozenset({"system", "popen"}),
    words=dict.fromkeys(_C_EXECS, (1,)),
    replaces=frozenset(_C_EXECS),
    opens={"fopen": 1, "open": 1, "open64": 1, "creat": 0, "freopen": 1, "ofstream": 0, "fstream": 1},
    kernel=re.compile(r""),
    numbered=re.compile(r"syscall"),
)

_CHILD = "child_process."

JAVASCRIPT: Final = Vocabulary(
    spawns=_names(_CHILD, "fork spawn exec execFile") | {"worker_threads.Worker", "cluster.fork"},
    lines=_names(_CHILD, "exec execSync"),
    words=dict.fromkeys(_names(_CHILD, "fork spawn spawnSync execFile execFileSync"), ()) | {"Deno.run": ()},
    opens=dict.fromkeys(_names("fs.", "open openSync promises.open"), 1)
    | dict.fromkeys(_names("fs.", "readFile readFileSync createReadStream"), NO_MODE),
    writes=_names("fs.", "writeFile writeFileSync appendFile appendFileSync createWriteStream truncateSync")
    | _names("fs.promises.", "writeFile appendFile")
    | _names("Deno.", "writeTextFile writeTextFileSync writeFile writeFileSync"),
    copies=_names("fs.", "copyFile copyFileSync rename renameSync cp cpSync"),
    connects=frozenset({"connect", "createConnection"}),
    removes=_names("fs.", "rm rmSync rmdir rmdirSync promises.rm promises.rmdir"),
    evaluates={"eval": "javascript"},
)

_PHP_LINES = frozenset({"system", "exec", "shell_exec", "passthru", "popen", "proc_open"})

PHP: Final = Vocabulary(
    forks=frozenset({"pcntl_fork"}),
    spawns=frozenset({"proc_open", "popen"}),
    lines=_PHP_LINES,
    words={"pcntl_exec": ()},
    replaces=frozenset({"pcntl_exec"}),
    opens={"fopen": 1, "file_get_contents": NO_MODE, "readfile": NO_MODE},
    writes=frozenset({"file_put_contents"}),
    copies=frozenset({"copy", "rename"}),
    connects=frozenset({"stream_socket_client", "fsockopen"}),
    kernel=re.compile(r"ffi\.cdef\(\)\.|pcntl_"),
    evaluates={"eval": "php"},
    marks=("`", "ffi"),
)

RUBY: Final = Vocabulary(
    forks=frozenset({"fork", "Process.fork", "Kernel.fork"}),
    spawns=frozenset({"spawn", "Process.spawn", "Kernel.spawn", "IO.popen", "Thread.new"}),
    lines=frozenset({"system", "exec", "spawn", "Kernel.system", "Kernel.exec", "Process.spawn", "IO.popen"}),
    words=dict.fromkeys(
        ("system", "exec", "spawn", "Kernel.system", "Kernel.exec", "Process.spawn", "IO.popen"), ()
    ),
    replaces=frozenset({"exec", "Kernel.exec"}),
    opens={"File.open": 1, "File.new": 1, "open": 1, "File.read": NO_MODE, "IO.read": NO_MODE},
    writes=frozenset({"File.write", "IO.write", "File.binwrite"}),
    copies=_names("FileUtils.", "cp mv copy move") | {"File.rename"},
    connects=frozenset({"UNIXSocket.new", "UNIXSocket.open"}),
    removes=_names("FileUtils.", "rm_rf rm_r rmtree remove_dir remove_entry"),
    evaluates={"eval": "ruby"},
    kernel=re.compile(r"Dir\."),
    numbered=re.compile(r"(?:Kernel\.)?syscall"),
    marks=("`", "%x"),
)

GO: Final = Vocabulary(
    spawns=frozenset({"exec.Command().Start", "os.StartProcess", "syscall.ForkExec"}),
    words={"exec.Command": (), "exec.CommandContext": (0,), "syscall.Exec": (1,), "os.StartProcess": (1,)},
    replaces=frozenset({"syscall.Exec"}),
    opens={"os.OpenFile": 1, "os.Open": NO_MODE, "os.ReadFile": NO_MODE, "syscall.Open": 1, "unix.Open": 1},
    writes=frozenset({"os.WriteFile", "os.Create", "ioutil.WriteFile", "os.Truncate"}),
    copies=frozenset({"os.Rename"}),
    connects=frozenset({"net.Dial"}),
    removes=frozenset({"os.RemoveAll"}),
    kernel=re.compile(r"(?:syscall|unix)\."),
    numbered=re.compile(r"(?:syscall|unix)\.(?:Raw)?Syscall6?"),
)
