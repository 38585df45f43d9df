"""Owns what a worker may do at all: its limits, the files it may open, the system calls that exist for it.

Only these are needed by the sandbox's binary, its loader and its libraries; they say nothing of scripts.
Linux only.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import subprocess
from contextlib import suppress
from pathlib import Path

from landlockpy import AccessFS, Ruleset, Scope
from seccompy import Action, CmpOp, Filter

_MIB = 1024 * 1024
_LISTING_S = 10.0
_LIBRARY = re.compile(r"(/.*) \(0x[0-9a-f]+\)$", re.MULTILINE)
_CALLS = """
    read write futex munmap madvise mremap brk getrandom readv writev pread64 lseek close fstat newfstatat statx
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall poll ppoll
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday sched_yield sched_getaffinity
    set_tid_address set_robust_list rseq arch_prctl membarrier gettid getpid sysinfo uname exit exit_group
"""
_WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
_PROT_WRITE, _PROT_EXEC, _MAP_ANONYMOUS = 0x2, 0x4, 0x20
_CLONE_THREAD, _CLONE_NEW_NAMESPACES = 0x10000, 0x7E020000
_PR_SET_NAME = 15


def limits(memory_bytes: int) -> dict[int, int]:
    """The most of each resource. The sandbox limits its own memory, so this catches what got out of that."""
    data = 2 * memory_bytes + 256 * _MIB
    return {
        resource.RLIMIT_DATA: data,
        resource.RLIMIT_AS: data + 512 * _MIB,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: 16,
    }


def files(binary: str) -> Ruleset:
    """May be read: the binary, its loader and libraries; may be run: the first two; nothing else is opened.

    TCP, abstract sockets and signals to others are refused too. Raises OSError when the kernel has no Landlock.
    """
    rules = Ruleset(scoped=Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET)
    traced = {"LD_TRACE_LOADED_OBJECTS": "1"}  # the loader then lists instead of running; a static binary runs
    listing = subprocess.run(  # noqa: S603
        [binary, "--version"], env=traced, capture_output=True, text=True, timeout=_LISTING_S, check=False
    )
    rules.allow_path(binary, AccessFS.EXECUTE | AccessFS.READ_FILE)
    for library in _LIBRARY.findall(listing.stdout):
        run = AccessFS.EXECUTE if Path(library).name.startswith("ld-") else AccessFS.NONE
        rules.allow_path(library, AccessFS.READ_FILE | run)
    with suppress(FileNotFoundError):  # musl has none
        rules.allow_path("/etc/ld.so.cache", AccessFS.READ_FILE)
    os.set_inheritable(rules.fileno(), True)
    return rules


def calls(address: int) -> Filter:
    """The system calls there are; others, and future ones, answer as in a kernel that has not got them.

    There are threads but no processes, no new executable memory, no opening to write, no sockets, no signals.
    `execve` reads its path at that secret address, or the process is killed.
    """
    only = Filter(Action.ERRNO | errno.ENOSYS)
    for name in _CALLS.split():
        with suppress(ValueError):  # other architectures have fewer
            only.allow(name)
    no_code = (2, CmpOp.MASKED_EQ, 0, _PROT_EXEC)
    only.allow("mprotect", args=[no_code])
    only.allow("mmap", args=[no_code])
    only.allow("mmap", args=[(2, CmpOp.MASKED_EQ, 0, _PROT_WRITE), (3, CmpOp.MASKED_EQ, 0, _MAP_ANONYMOUS)])
    only.allow("openat", args=[(2, CmpOp.MASKED_EQ, 0, _WRITING)])
    only.allow("clone", args=[(0, CmpOp.MASKED_EQ, _CLONE_THREAD, _CLONE_THREAD | _CLONE_NEW_NAMESPACES)])
    only.allow("prctl", args={0: _PR_SET_NAME})
    only.allow("prlimit64", args={0: 0, 2: 0})
    only.allow("execve", args={0: address})
    only.kill("execve")
    return only
