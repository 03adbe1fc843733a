"""Charges the GPU that a process holds while it is prepared: loads data, compiles, takes steps that nobody keeps."""

import os
import secrets
from collections.abc import Mapping

from kdtune.energy.ledger import Window
from kdtune.execution.meter_handle import MeterHandle


def open_preparation_window(meter: MeterHandle, gpus: Mapping[str, float]) -> None:
    """Charge this process's GPU to ``orchestration`` until its next window opens or the process ends.

    The CPU time that it takes is orchestration's without this, so a process without a GPU opens no window.

    Args:
        meter: Of this machine.
        gpus: What this process was given: UUID to share.
    """
    if gpus:
        # Without cores: memory is charged by the cores of those that train or evaluate.
        window = Window(f"preparing-{secrets.token_hex(6)}", "orchestration", os.getpid(), 0.0, dict(gpus))
        meter.open(window)
