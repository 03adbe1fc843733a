"""What is started in the place of a worker or an agent of Ray, or of a test process; see ``tests/forked_workers.py``.

It imports only modules that are part of the interpreter, so that it takes milliseconds.
"""

import _signal
import _socket
import marshal
import os
import sys


def is_forked(address: str, arguments: list[str], is_agent: bool, blocked: list[int]) -> bool:
    """Return whether the server has forked the process, once this has ended.

    Args:
        address: Abstract address of the server's socket.
        arguments: Script of the process and its arguments.
        is_agent: Whether it is an agent of the daemon or a test process, and not a worker.
        blocked: Numbers of the signals that it blocks.
    """
    cores = os.sched_getaffinity(0)
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than all else
    of_process = (arguments, dict(os.environ), folder, list(cores), blocked, is_agent, os.getpgrp() == os.getpid())
    message = marshal.dumps(of_process)
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    answer = address.encode()
    while answer not in {b"forked", b"refused"}:  # the address of another server
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            connection.connect(b"\0" + answer)
            sent = connection.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
            connection.sendall(message[sent:])
            connection.shutdown(_socket.SHUT_WR)
            answer = connection.recv(108)
        except OSError:
            answer = b""
        if not answer:
            return False  # the server has ended
    if answer == b"refused":
        return False
    connection.recv(1)  # the process has the other end
    return True


def main() -> None:
    address, first, *arguments = sys.argv[1:]  # first: a worker's setup, or else an option of Python
    process = [word for word in arguments if word != "--language=PYTHON"]  # which only the setup reads
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # ends without a traceback
    blocked = _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGINT])  # of the terminal, which is for the process
    if not is_forked(address, process, first == "-u", [int(number) for number in blocked]):
        _signal.pthread_sigmask(_signal.SIG_SETMASK, blocked)
        os.execv(sys.executable, [sys.executable, first, *arguments])


main()
