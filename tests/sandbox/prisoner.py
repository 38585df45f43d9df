"""A process that puts the jail on as a worker does, and then tries to get out.

Run as `python -m tests.sandbox.prisoner FOLDER [files]`.

Prints, for each attempt, the name of the error it met, or nothing when it succeeded; as JSON. With `files`
the kernel has nothing but Landlock, and only what that is for is tried.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import re
import resource
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pydantic_monty._binary import find_monty_binary
from seccompy import syscall_nr

from billing_mcp.sandbox import launch, walls

_BINARY = find_monty_binary()
_PTRACE_SEIZE, _PR_SET_PDEATHSIG, _AT_EMPTY_PATH, _CLONE_NEWUSER = 0x4206, 1, 0x1000, 0x10000000
_READ_WRITE_EXECUTE, _PRIVATE_ANONYMOUS = 0x7, 0x22

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | None) -> None:
    """A system call, as native code would make it."""
    if libc.syscall(ctypes.c_long(syscall_nr(name)), *arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def native(function: str, *arguments: object) -> None:
    """A function of libc that returns something negative when refused."""
    if getattr(libc, function)(*arguments) in {-1, 2**64 - 1}:
        raise OSError(ctypes.get_errno(), function)


def thread() -> None:
    """Threads are what the sandbox needs; this is to succeed."""
    done = threading.Event()
    threading.Thread(target=done.set).start()
    assert done.wait(5)


def escapes(folder: Path, server: int) -> dict[str, Callable[[], object]]:
    """Ways out, by what they would give."""
    libc.mmap.restype = ctypes.c_long
    page = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    vector = (ctypes.c_ulong * 2)(address, 8)
    return {
        "read a system file": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "read a file beside": lambda: os.open(folder / "secret", os.O_RDONLY),
        "list a folder": lambda: os.open(folder, os.O_RDONLY),
        "read its own environment": lambda: os.open("/proc/self/environ", os.O_RDONLY),
        "read the server's environment": lambda: os.open(f"/proc/{server}/environ", os.O_RDONLY),
        "open the server's memory": lambda: os.open(f"/proc/{server}/mem", os.O_RDWR),
        "take the server's memory": lambda: native("process_vm_readv", server, vector, 1, vector, 1, 0),
        "trace the server": lambda: call("ptrace", _PTRACE_SEIZE, server, None, None),
        "take the server's descriptors": lambda: call("pidfd_open", server, 0),
        "create a file": lambda: os.open(folder / "new", os.O_WRONLY | os.O_CREAT),
        "overwrite a file": lambda: os.open(folder / "secret", os.O_WRONLY),
        "truncate a file": lambda: os.truncate(folder / "secret", 0),
        "create a folder": lambda: os.mkdir(folder / "new"),  # noqa: PTH102
        "rename a file": lambda: os.rename(folder / "secret", folder / "new"),  # noqa: PTH104
        "delete a file": lambda: os.unlink(folder / "secret"),  # noqa: PTH108
        "change a mode": lambda: os.chmod(folder / "secret", 0o777),  # noqa: PTH101, S103
        "file in memory": lambda: call("memfd_create", b"x", 0),
        "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "udp": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "unix socket": lambda: socket.socket(socket.AF_UNIX),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "pair of sockets": socket.socketpair,
        "io_uring": lambda: call("io_uring_setup", 8, None),
        "bpf": lambda: call("bpf", 0, None, 0),
        "fork": os.fork,
        "vfork": lambda: call("clone", 0x4000 | 0x100 | 17, None, None, None, None),
        "clone3": lambda: call("clone3", None, 0),
        "run by descriptor": lambda: call("execveat", 0, b"", None, None, _AT_EMPTY_PATH),
        "signal the server": lambda: os.kill(server, 0),
        "signal a thread of it": lambda: call("tgkill", server, server, 0),
        "signal everyone": lambda: os.killpg(0, 0),
        "outlive the server": lambda: native("prctl", _PR_SET_PDEATHSIG, 0, 0, 0, 0),
        "a namespace": lambda: native("unshare", _CLONE_NEWUSER),
        "mount": lambda: native("mount", b"none", b"/mnt", b"tmpfs", 0, None),
        "another root": lambda: os.chroot("/"),
        "another user": lambda: os.setuid(0),
        "more descriptors": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)),
        "keys of the kernel": lambda: call("keyctl", 0, 0, 0, 0, 0),
        "type on the terminal": lambda: native("ioctl", 2, 0x5412, b"x"),
        "code that it writes": lambda: native("mprotect", ctypes.c_void_p(address), mmap.PAGESIZE, _READ_WRITE_EXECUTE),
        "memory for code": lambda: native("mmap", None, 4096, _READ_WRITE_EXECUTE, _PRIVATE_ANONYMOUS, -1, 0),
        "more memory": lambda: mmap.mmap(-1, 2**30),
        "as x32": lambda: call_number(0x40000000 | syscall_nr("socket"), 1, 1, 0),
        "a thread": thread,
        "the binary": lambda: os.open(_BINARY, os.O_RDONLY),
    }


def call_number(number: int, *arguments: int) -> None:
    """A system call by number."""
    if libc.syscall(ctypes.c_long(number), *arguments) < 0:
        raise OSError(ctypes.get_errno(), str(number))


def run_a_program(outcomes: dict[str, str]) -> None:
    """Print first: `execve` of anything else ends the process."""
    os.write(1, json.dumps(outcomes).encode())
    os.execv("/bin/sh", ["sh", "-c", "exit 7"])  # noqa: S606


def main() -> None:
    """Put the jail on, try, print."""
    folder, only_files = Path(sys.argv[1]), sys.argv[2:] == ["files"]
    attempts, files = escapes(folder, os.getppid()), walls.files(_BINARY)
    failed = launch.apply(
        limits=walls.limits(64 * 2**20),
        ruleset=os.dup(files.fileno()),  # `apply` closes it
        program=None if only_files else walls.calls(4096).program,
    )
    outcomes = {"failed": repr(failed)} if failed else {}
    for name, attempt in attempts.items():
        if only_files and not re.search(r"\b(file|folder|server|environment|thread|binary|memory$)", name):
            continue
        try:
            attempt()
        except OSError as error:
            outcomes[name] = errno.errorcode[error.errno or 0]
        else:
            outcomes[name] = ""
    run_a_program(outcomes)


if __name__ == "__main__":
    main()
