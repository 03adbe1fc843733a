"""Training, evaluating and loading teachers, which are kept in the cache under a hash of everything they depend on.

A teacher's folder holds ``teacher.pt``, ``epochs.jsonl``, the ledger with the energy of its training, and
``record.json``, which is written last: a folder with it is complete. For a teacher that a user gave, the folder holds
the record and the ledger of its evaluation; see :mod:`kdtune.artifacts.given_teacher` for the location of its weights.
"""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kdtune.artifacts.given_teacher import identity_of, kept_weights
from kdtune.artifacts.teacher_record import RECORD, WEIGHTS, sha256_of, weights_are_sound
from kdtune.artifacts.weight_checks import largest_weight
from kdtune.catalog.metric import ACCURACY
from kdtune.data.batches import ImageSet, Splits
from kdtune.errors import KdtuneError, UsageError
from kdtune.specs.study import Setting
from kdtune.specs.teacher_identity import teacher_draws, teacher_key
from kdtune.storage.checksums import with_checksum
from kdtune.storage.files import replaced_atomically, write_json
from kdtune.storage.paths import cache_dir
from kdtune.tasks.task import Metrics, Task
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.checkpoints import CheckpointFolder, CheckpointWriter
from kdtune.training.compiled_networks import Compiler
from kdtune.training.distiller import Distiller
from kdtune.training.epoch_metrics import EpochMetrics
from kdtune.training.numerics import Arithmetic
from kdtune.training.resolution import teacher_recipe


def teacher_folder(
    study: Setting, threads: int, device: torch.device, fingerprint: str = "", *, folds: bool = False
) -> Path:
    """Return the folder of the study's teacher, which need not exist yet; see :func:`teacher_key` for the arguments."""
    key = teacher_key(study, threads, device.type, str(torch.__version__), fingerprint, folds=folds)
    return cache_dir() / "teachers" / f"{study.dataset.slug}-{study.teacher.slug}-{key}"


def load_teacher(model: torch.nn.Module, study: Setting, folder: Path) -> None:
    """Load the cached weights into an untrained teacher.

    Args:
        model: Untrained teacher, on the device on which it will run.
        study: Study of the teacher.
        folder: Folder of the teacher.

    Raises:
        KdtuneError: The teacher is not in the cache, or its file cannot be read or is damaged.
    """
    given = study.teacher_weights
    path = kept_weights(given) if given else folder / WEIGHTS
    made, again = ("given", "and give it again with --teacher FILE") if given else ("trained", "to train it again")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not (identity_of(state) == given if given else weights_are_sound(folder)):
            raise ValueError("its weights have changed since they were saved")
        model.load_state_dict(state)
    except FileNotFoundError:
        raise KdtuneError(
            f"the teacher {study.teacher} for {study.dataset} has not been {made}: {path} is missing"
        ) from None
    except Exception as error:
        raise KdtuneError(f"{path}: not a readable teacher ({error}); delete its folder {again}") from None


def train_teacher(
    study: Setting,
    task: Task,
    splits: Splits,
    device: torch.device,
    folder: Path,
    on_epoch: Callable[[EpochMetrics], None] = lambda metrics: None,
    arithmetic: Arithmetic | None = None,
    compiler: Compiler | None = None,
    captures: CapturedSteps | None = None,
) -> None:
    """Train the study's teacher on the labels and save it in its folder.

    The teacher is trained on the training part only. The last epoch counts, and the accuracy on the test images is
    measured once. A training that was stopped continues from its last checkpoint.
    """
    distiller = Distiller(
        teacher_recipe(study),
        teacher_draws(study),
        task,
        splits,
        device,
        arithmetic=arithmetic,
        compiler=compiler,
        captures=captures,
    )
    checkpoints = CheckpointFolder(folder / "checkpoints")
    if state := checkpoints.load_latest():
        distiller.load_state_dict(state)
    with CheckpointWriter(checkpoints) as writer:
        while not distiller.done:
            on_epoch(distiller.train_epoch())
            writer.epoch_done(distiller)
    tested = task.evaluate(distiller.model, splits.test, arithmetic)
    with replaced_atomically(folder / WEIGHTS) as file:
        torch.save(distiller.model.state_dict(), file)
    last = distiller.last_metrics()
    known: dict[str, Any] = {"epochs": distiller.epoch, "val_accuracy": last.val_accuracy, "val_loss": last.val_loss}
    known |= {"weights_sha256": sha256_of(folder / WEIGHTS)}
    known |= _objective(last.val_objective) | _normalisation(splits.train)
    _write_record(folder, study, known, task.test_metrics(tested.predictions, splits.test))
    shutil.rmtree(checkpoints.folder, ignore_errors=True)


def measure_teacher(
    model: torch.nn.Module,
    study: Setting,
    task: Task,
    splits: Splits,
    folder: Path,
    arithmetic: Arithmetic | None = None,
) -> None:
    """Evaluate a given teacher on validation and test images, and save the record in its folder.

    Raises:
        UsageError: Its loss is not a finite number.
    """
    validation, tested = (task.evaluate(model, images, arithmetic) for images in (splits.validation, splits.test))
    if not (math.isfinite(validation.loss) and math.isfinite(tested.loss)):
        name, size = largest_weight(model.state_dict())
        raise UsageError(
            "--teacher: the teacher's logits, or its loss, are not finite numbers in float32; the largest of its "
            f"weights is {size:.3g}, in {name}. Give a file with correct weights"
        )
    known: dict[str, Any] = {
        "epochs": None,
        "val_accuracy": validation.metrics.get(ACCURACY),
        "val_loss": validation.loss,
    }
    if task.objective.name != ACCURACY:
        known |= _objective(validation.metrics[task.objective.name])
    known |= task.teacher_facts([(validation, splits.validation), (tested, splits.test)])
    known |= _normalisation(splits.train)
    _write_record(folder, study, known, task.test_metrics(tested.predictions, splits.test))


def _objective(value: float | None) -> dict[str, float]:
    return {} if value is None else {"val_objective": value}


def _normalisation(images: ImageSet) -> dict[str, Any]:
    """Return mean and deviation of a teacher's images, without which the teacher cannot be used elsewhere."""
    return {"mean": images.mean.flatten().tolist(), "std": images.std.flatten().tolist()}


def _write_record(folder: Path, study: Setting, known: dict[str, Any], test: Metrics) -> None:
    named = {"model": study.teacher.name, "dataset": study.dataset.name, "given": study.teacher_weights}
    write_json(folder / RECORD, with_checksum({**named, **known, "test": test}))
