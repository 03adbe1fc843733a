"""What jobs in a worker have in common, and the job that makes one part of an artifact."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kdtune.artifacts.artifact import Artifact
from kdtune.energy.ledger import Window, WindowBucket
from kdtune.execution.gpu_preparation_window import open_preparation_window
from kdtune.execution.meter_handle import meter_of
from kdtune.planning.resources import Resources, gpu_indices, gpu_shares
from kdtune.specs.study import Study


def open_training_context(study: Study, resources: Resources, data: str, session_id: str | None) -> Any:
    """Return a context for this process. Its GPU is charged to ``orchestration`` until a window opens."""
    from kdtune.artifacts.device_choice import pick_device
    from kdtune.artifacts.training_context import TrainingContext

    open_preparation_window(meter_of(session_id), gpu_shares(resources.gpus))
    device = pick_device(resources.gpus, gpu_indices(resources.gpus))
    return TrainingContext(study, device, resources.threads, data)


@contextmanager
def charged_window(session_id: str, resources: Resources, name: str, bucket: WindowBucket) -> Iterator[None]:
    """Charge the energy that this process uses inside the context to a window with this name."""
    meter = meter_of(session_id)
    meter.open(Window(name, bucket, os.getpid(), resources.cpus, gpu_shares(resources.gpus)))
    try:
        yield
    finally:
        meter.close(name, "done")


def make_part(study: Study, resources: Resources, data: str, session_id: str, artifact: Artifact, part: Any) -> None:
    """Make one part of an artifact and meter it."""
    context = open_training_context(study, resources, data, session_id)
    artifact.make(context, part, partial(charged_window, session_id, resources))
