"""`python -I -S start.py SOCKET ARGUMENT...` is `billing-mcp ARGUMENT...`, forked off the process at the socket.

It hands over its standard streams, passes on the signals that it gets, and ends as the command does.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def pass_on(command: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it has just ended, as we shall hear
        os.kill(command, number)


def main(path: str, *arguments: str) -> None:
    wanted = {"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109 - no imports
    with socket.socket(socket.AF_UNIX) as warm:
        warm.connect(path)
        request = json.dumps(wanted).encode()
        socket.send_fds(warm, [len(request).to_bytes(4, "big")], [0, 1, 2])
        warm.sendall(request)
        answers = warm.makefile("rb")
        command = int.from_bytes(answers.read(4), "big")
        for each in PASSED_ON:
            signal.signal(each, lambda number, _: pass_on(command, number))
        for stream in range(3):
            os.close(stream)
        ended = int.from_bytes(answers.read(4), "big", signed=True)
    if ended < 0:
        signal.signal(-ended, signal.SIG_DFL)
        os.kill(os.getpid(), -ended)
    os._exit(ended)


if __name__ == "__main__":
    main(*sys.argv[1:])
