"""A node with its own host name that joins a cluster of Ray and dies on request."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from tests.forked import Forked
from tests.forked_workers import fork_workers, fork_workers_from_here

#: Flags of the system call ``unshare``: mounts and a host name of one's own.
_MOUNTS, _HOST_NAME = 0x00020000, 0x04000000

#: What the process of a node does.
_NODE = "from tests.execution.late_node import be_a_node; be_a_node()"


class LateNode:
    """A node with a core, two GPUs and the resource ``late``.

    Where the driver has the folder ``hides``, the node has an empty folder of its own.
    """

    def __init__(self, address: str, name: str) -> None:
        self.name, self.hides = name, Path()
        self._address, self._process = address, None

    def join(self) -> None:
        """Start the daemons of the node."""
        self._process = Forked(_NODE, [self._address, self.name, str(self.hides)])

    def die(self) -> None:
        """Kill all processes of the node."""
        if self._process is None:
            return
        ended = [psutil.Process(self._process.pid)]
        ended += ended[0].children(recursive=True)
        for one in ended:
            try:
                one.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self._process.wait()
        self._process = None


def be_a_node() -> None:
    """Become a node; its address, its name and the folder that it hides are the arguments of this process."""
    address, name, hidden = sys.argv[1:]
    if ctypes.CDLL(None).unshare(_MOUNTS | _HOST_NAME):
        raise OSError("a host name and mounts of one's own need more rights than there are")
    socket.sethostname(name)
    if Path(hidden) != Path():
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", hidden], check=True)
    fork_workers_from_here()
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # by which the suite hides a machine's own GPUs
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    fork_workers()
    has = {"num_cpus": 1, "num_gpus": 2, "resources": {"late": 1}, "object_store_memory": 150 << 20}
    ports = {"min_worker_port": 0, "max_worker_port": 0, "dashboard_agent_listen_port": None}
    node = Node(
        RayParams(gcs_address=address, include_log_monitor=False, **has, **ports),
        head=False,
        shutdown_at_exit=False,
        spawn_reaper=False,
    )
    assert node.any_processes_alive()
    signal.pause()
