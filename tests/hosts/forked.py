"""`python -I -S forked.py SOCKET …` is `python …`, forked by fork_server.py, which listens at the socket.

It stands for the process: a signal is passed on, its own end is the end of the process, and the other way
round. It imports little, as its start is what remains of the cost.
"""

import os
import signal
import socket
import sys
from types import FrameType

_SERVER_DIED = 70
"""The exit code when nobody knows that of the process."""
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    """Have it forked, and wait for its end."""
    child = 0
    early: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        if not child:
            early.append(number)
            return
        try:
            os.kill(child, number)
        except ProcessLookupError:  # it has ended; its exit code is on the way
            return

    for passed_on in _PASSED_ON:
        signal.signal(passed_on, pass_on)
    job = {"arguments": sys.argv[2:], "environment": dict(os.environ), "directory": os.getcwd()}  # noqa: PTH109
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    socket.send_fds(connection, [repr(job).encode() + b"\n"], [0, 1, 2])
    with connection.makefile() as answers:
        forked = answers.readline()
        if not forked:
            sys.exit("fork_server.py forked nothing.")
        child = int(forked)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):  # else it would hold the pipes open that the process closes
            os.dup2(nothing, descriptor)
        for one in early:
            pass_on(one, None)
        ended = answers.readline()
    if not ended:  # the server has died, and nobody else looks after the process
        pass_on(signal.SIGKILL, None)
    code = int(ended or _SERVER_DIED)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
