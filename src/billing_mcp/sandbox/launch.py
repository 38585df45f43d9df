"""Owns a worker's way into its jail: the pool starts this in place of the sandbox's binary, and it becomes that.

`jail.py` decides everything and says it in the arguments. Here is only the standard library, and little of
it: every import is time that a worker takes to start.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys

TYPE_CHECKING = False  # as in typing, which takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable

PROBE = "probe"
ALLOWED = 1  # a probe's exit status when it could run another program

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SIGKILL = 9
_SECCOMP_MODE_FILTER = 2
_LANDLOCK_RESTRICT_SELF = 446  # the system call's number, on every architecture
_READ_WRITE, _PRIVATE_ANONYMOUS_NOREPLACE = 0x1 | 0x2, 0x2 | 0x20 | 0x100000
_PAGE = 65536  # the largest that Linux has
_STDERR = 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def enter(
    binary: str, *, limits: dict[int, int], ruleset: int | None, program: bytes | None, address: int, strict: bool
) -> None:
    """Put the jail on and become the binary; strict: not without a part of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [os.fsencode(word) for word in (binary, *sys.argv[1:])]
    argv, environment = (ctypes.c_char_p * (len(words) + 1))(*words, None), (ctypes.c_char_p * 1)(None)
    _place(libc, address, words[0])
    tries = attempts()
    failed = apply(limits=limits, ruleset=ruleset, program=program)
    if sys.argv[1:] == [PROBE]:
        _probe(tries, failed)
    if failed and strict:
        sys.exit(f"the worker's jail is not whole: {failed}")
    libc.execve(ctypes.c_void_p(address), argv, environment)
    sys.exit(f"{binary} did not start: {os.strerror(ctypes.get_errno())}")


def apply(*, limits: dict[int, int], ruleset: int | None, program: bytes | None) -> dict[str, str]:
    """Put on each part that there is, for good. Returns those that the kernel would not put on, and why."""
    libc = ctypes.CDLL(None, use_errno=True)
    failed: dict[str, str] = {}

    def expect_zero(part: str, result: int) -> None:
        if result != 0:
            failed[part] = os.strerror(ctypes.get_errno())

    _close_inherited(keep=ruleset)
    try:
        for kind, most in limits.items():
            hard = resource.getrlimit(kind)[1]
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (least, least))
    except (OSError, ValueError) as error:
        failed["limits"] = str(error)
    expect_zero("orphans", _prctl(libc, _PR_SET_PDEATHSIG, _SIGKILL))
    expect_zero("privileges", _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1))
    if ruleset is not None:
        restrict = (ctypes.c_long(_LANDLOCK_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_int(0))
        expect_zero("files", libc.syscall(*restrict))
        os.close(ruleset)
    if program is not None:
        code = _Program(len(program) // 8, program)
        expect_zero("calls", _prctl(libc, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(code)))
    return failed


def attempts() -> dict[str, Callable[[], object]]:
    """What the jail refuses, part by part: in it each of these raises OSError."""
    libc, server = ctypes.CDLL(None, use_errno=True), os.getppid()

    def socket() -> None:
        if libc.socket(1, 1, 0) < 0:
            raise OSError(ctypes.get_errno(), "no socket")

    def fork() -> None:
        if os.fork() == 0:
            os._exit(0)
        os.wait()

    return {
        "files": lambda: os.open(sys.executable, os.O_RDONLY),
        "network": socket,
        "processes": fork,
        "signals": lambda: os.kill(server, 0),
    }


def _probe(tries: dict[str, Callable[[], object]], failed: dict[str, str]) -> None:
    """Write what failed and what was allowed nevertheless; then try to run another program."""
    lines = [f"failed\t{part}\t{why}" for part, why in failed.items()]
    for part, attempt in tries.items():
        try:
            attempt()
        except OSError:
            continue
        lines.append(f"allowed\t{part}\t")
    os.write(1, "\n".join(lines).encode())
    try:
        os.execv(sys.executable, [sys.executable, "-IS", "-c", f"raise SystemExit({ALLOWED})"])  # noqa: S606
    except OSError:
        os._exit(0)


def _place(libc: ctypes.CDLL, address: int, path: bytes) -> None:
    """Write the path to that address, the only one from which the filter lets `execve` read a path."""
    libc.mmap.restype = ctypes.c_void_p
    page, size = address - address % _PAGE, 2 * _PAGE
    where = (
        ctypes.c_void_p(page),
        ctypes.c_size_t(size),
        _READ_WRITE,
        _PRIVATE_ANONYMOUS_NOREPLACE,
        -1,
        ctypes.c_long(0),
    )
    if libc.mmap(*where) != page:
        sys.exit("a worker's memory is not laid out as expected")
    ctypes.memmove(address, path + b"\0", len(path) + 1)


def _close_inherited(keep: int | None) -> None:
    """A worker has its three streams, whatever descriptors the server let it inherit."""
    for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if descriptor > _STDERR and descriptor != keep:
            try:
                os.close(descriptor)
            except OSError:  # the one that listed them
                continue


def _prctl(libc: ctypes.CDLL, option: int, value: int, pointer: object = None) -> int:
    zero = ctypes.c_ulong(0)
    third = zero if pointer is None else pointer
    return int(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), third, zero, zero))
