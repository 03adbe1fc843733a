"""Charges the GPU of a process while the process loads data, compiles and takes warm-up steps."""

import os
import secrets
from collections.abc import Mapping

from kdtune.energy.ledger import Window
from kdtune.execution.meter_handle import MeterHandle


def open_preparation_window(meter: MeterHandle, gpus: Mapping[str, float]) -> None:
    """Charge this process's GPU to ``orchestration`` until its next window opens or the process ends.

    CPU time is charged to ``orchestration`` in any case, so a process without a GPU opens no window.

    Args:
        meter: Meter of this machine.
        gpus: Share of each GPU of this process, by UUID.
    """
    if gpus:
        # The window has no cores, since memory is charged by the cores of processes that train or evaluate.
        window = Window(f"preparing-{secrets.token_hex(6)}", "orchestration", os.getpid(), 0.0, dict(gpus))
        meter.open(window)
