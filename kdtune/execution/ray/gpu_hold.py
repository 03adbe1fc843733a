"""Charges the GPU that a worker holds while it is prepared: loads data, compiles, takes steps that nobody keeps."""

import os
import secrets
from collections.abc import Mapping

from kdtune.energy.ledger import Window
from kdtune.execution.ray.meter_actor import MeterHandle


def hold_gpu(session_id: str | None, gpus: Mapping[str, float]) -> None:
    """Charge this process's GPU to ``orchestration`` until its next window opens or the process ends.

    The CPU time that it takes is orchestration's without this, so a process without a GPU opens no window.

    Args:
        session_id: Of the session that meters; None where none does.
        gpus: What Ray gave this process: UUID to share.
    """
    if gpus:
        # Without cores: memory is charged by the cores of those that train or evaluate.
        window = Window(f"preparing-{secrets.token_hex(6)}", "orchestration", os.getpid(), 0.0, dict(gpus))
        MeterHandle(session_id).open(window)
