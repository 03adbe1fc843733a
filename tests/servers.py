"""Servers of other tools, which tests start on the loopback interface and read."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener


@contextmanager
def served(main: str, *arguments: str) -> Iterator[Callable[..., Any]]:
    """Start a server on a free port, and yield a function that sends it a request.

    Args:
        main: Module and function of its command line, such as ``package._cli:main``.
        arguments: Its arguments before ``--port``.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    module, _, function = main.partition(":")
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {module} import {function}; {function}()", *arguments, f"--port={port}"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    opener = build_opener(ProxyHandler({}))

    def ask(path: str, body: Any = None) -> Any:
        """Return the JSON document or the text at a path; with a body, which is sent as JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
        while True:
            try:
                with opener.open(request) as answer:
                    text = answer.read().decode()
                    return json.loads(text) if "json" in answer.headers["Content-Type"] else text
            except HTTPError:
                raise
            except URLError:  # it does not listen yet
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.05)

    try:
        yield ask
    finally:
        process.kill()
        process.communicate()
