"""Teachers: trained once, kept in the cache under a hash of everything that they depend on.

A teacher's folder holds ``teacher.pt``, ``record.json`` (written last: what is there is whole),
``epochs.jsonl`` and the energy ledger of its training.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kdtune.data.batches import Splits
from kdtune.distill.checkpoints import CheckpointFolder
from kdtune.distill.compiling import Compiler
from kdtune.distill.distiller import Distiller, EpochMetrics
from kdtune.distill.evaluate import classification_metrics, evaluate
from kdtune.distill.numerics import Arithmetic
from kdtune.distill.recipe import teacher_key, teacher_recipe
from kdtune.errors import KdtuneError
from kdtune.files import replaced_atomically, write_json
from kdtune.paths import cache_dir
from kdtune.specs.study import Study


def teacher_folder(study: Study, threads: int, device: torch.device, fingerprint: str = "") -> Path:
    """Where the study's teacher is kept, or will be; ``fingerprint`` is that of the data."""
    key = teacher_key(study, threads, device.type, str(torch.__version__), fingerprint)
    return cache_dir() / "teachers" / f"{study.dataset}-{study.teacher}-{key}"


def read_record(folder: Path) -> dict[str, Any] | None:
    """What is known of a teacher: its metrics on validation and test images; None if it is not trained yet."""
    path = folder / "record.json"
    return json.loads(path.read_text()) if path.exists() and (folder / "teacher.pt").exists() else None


def load_teacher(model: torch.nn.Module, study: Study, folder: Path, device: torch.device) -> None:
    """Load the cached weights into an untrained teacher.

    Args:
        model: The untrained teacher.
        study: Whose teacher.
        folder: The teacher's.
        device: Where the weights go.

    Raises:
        KdtuneError: The teacher is not in the cache, or its file cannot be read.
    """
    path = folder / "teacher.pt"
    try:
        model.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    except FileNotFoundError:
        raise KdtuneError(
            f"the teacher {study.teacher} of {study.name} has not been trained: {path} is missing"
        ) from None
    except Exception as error:
        raise KdtuneError(f"{path}: not a readable teacher ({error}); delete its folder to train it again") from None


def train_teacher(
    study: Study,
    splits: Splits,
    num_classes: int,
    device: torch.device,
    folder: Path,
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None,
    arithmetic: Arithmetic | None = None,
    compiler: Compiler | None = None,
) -> None:
    """Train the study's teacher on the labels and put it into its folder.

    It sees only the training part. Its last epoch counts, and its accuracy on the test images is measured once.
    A training that was stopped goes on from its last checkpoint.
    """
    distiller = Distiller(
        teacher_recipe(study),
        study.teacher_seed,
        splits,
        num_classes,
        device,
        arithmetic=arithmetic,
        compiler=compiler,
    )
    checkpoints = CheckpointFolder(folder / "checkpoints")
    if state := checkpoints.load_latest(device):
        distiller.load_state_dict(state)
    while not distiller.done:
        on_epoch(distiller.train_epoch())
        checkpoints.save(distiller.state_dict())
    metrics = distiller.last_metrics()
    tested = evaluate(distiller.model, splits.test, arithmetic)
    test = classification_metrics(tested.predictions, splits.test.labels.cpu(), num_classes)
    with replaced_atomically(folder / "teacher.pt") as file:
        torch.save(distiller.model.state_dict(), file)
    record = {
        "model": study.teacher,
        "dataset": study.dataset,
        "epochs": distiller.epoch,
        "val_accuracy": metrics.val_accuracy,
        "val_loss": metrics.val_loss,
        "test": {**test, "accuracy": tested.accuracy},
    }
    write_json(folder / "record.json", record)
    shutil.rmtree(checkpoints.folder, ignore_errors=True)
