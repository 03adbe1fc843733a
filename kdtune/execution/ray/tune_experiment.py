"""Facts about an experiment of Ray Tune that its energy ledger needs: folder, resources and workers."""

import os
from pathlib import Path
from typing import Any

from pyarrow import fs

from kdtune.energy.sensors.node import boot_id

#: Key in a window for the GPUs of workers that the trial starts, whose UUIDs are unknown.
STARTED_WORKERS_GPUS = "GPUs of workers that the trial starts"

#: Folder of the ledger in the experiment's folder.
FOLDER = "energy_ledger"


def ledger_folder(trial: Any) -> Path:
    """Return the folder for the ledger beside the results, where it survives a killed driver.

    For results on a remote store, Tune uploads a local copy whose name changes with each restart. An existing ledger is
    then downloaded first.
    """
    storage = trial.storage
    there = Path(storage.experiment_fs_path) / FOLDER
    if isinstance(storage.storage_filesystem, fs.LocalFileSystem):
        return there
    here = Path(trial.local_experiment_path) / FOLDER
    kept = storage.storage_filesystem.get_file_info(there.as_posix())
    if kept.type is fs.FileType.Directory and not here.exists():
        here.mkdir(parents=True)
        fs.copy_files(there.as_posix(), str(here), source_filesystem=storage.storage_filesystem)
    return here


def trial_resources(placement: Any) -> tuple[float, float, float]:
    """Return all cores of a placement group, the GPUs of the trial's process and the GPUs of workers that it starts."""
    in_all = placement.required_resources
    own = {} if placement.head_bundle_is_empty else placement.bundles[0]
    own_gpus = float(own.get("GPU", 0.0))
    return float(in_all.get("CPU", 0.0)), own_gpus, float(in_all.get("GPU", 0.0)) - own_gpus


def attach_trial(
    trainable: Any, session: str, window: str, gpus: float, earlier_uj: int | None
) -> tuple[str, str, int, dict[str, float]]:
    """Return host, boot ID, PID and GPU shares of a trial's worker, in which this function runs.

    The trainable of kdtune is given access to the energy of its window.
    """
    from kdtune.planning.resources import gpu_shares

    if hasattr(trainable, "attach_meter"):
        trainable.attach_meter(session, window, earlier_uj)
    shares = gpu_shares(gpus) if gpus else {}
    return os.uname().nodename, boot_id(), os.getpid(), shares
