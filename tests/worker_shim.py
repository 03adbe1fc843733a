"""What a daemon of Ray starts in a worker's place; see ``tests/forked_workers.py``.

It imports only modules that are part of the interpreter, so that it takes milliseconds.
"""

import _signal
import _socket
import marshal
import os
import sys


def is_forked(address: str, arguments: list[str]) -> bool:
    """Return whether the server has forked the worker.

    Args:
        address: Abstract address of the server's socket.
        arguments: Script of the worker and its arguments.
    """
    cores, blocked = os.sched_getaffinity(0), _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes longer to import than all else
    message = marshal.dumps((arguments, dict(os.environ), folder, list(cores), [int(number) for number in blocked]))
    streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect("\0" + address)
        sent = connection.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
        connection.sendall(message[sent:])
        connection.shutdown(_socket.SHUT_WR)
        return connection.recv(16) == b"forked"
    except OSError:
        return False  # the server has ended


def main() -> None:
    address, setup, *arguments = sys.argv[1:]
    worker = [word for word in arguments if word != "--language=PYTHON"]  # which only the setup reads
    if not is_forked(address, worker):
        os.execv(sys.executable, [sys.executable, setup, *arguments])


main()
