"""Resolution of the settings that a study leaves to kdtune: numerics, and whether the teacher's logits are replayed.

They are resolved before anything is trained, and then frozen for all strategies of the study.
"""

from typing import Literal

from kdtune.artifacts.logit_store import check_room, room_bytes
from kdtune.artifacts.training_context import TrainingContext
from kdtune.catalog.builtin import DATASETS
from kdtune.forecast.numerics_probe import resolve_numerics


def resolve_open_settings(
    context: TrainingContext, trainings: int, workers: int = 1
) -> tuple[TrainingContext, tuple[str, ...]]:
    """Return a training context for the same study with all settings resolved, and remarks for the user.

    Args:
        context: The study's training context, on the device on which its trainings run.
        trainings: Trainings that use the teacher in one repeat, over all strategies of the study. Strategies that the
            current command does not run count too, since results of different modes cannot be compared.
        workers: Number of workers that train at the same time.

    Raises:
        KdtuneError: The study requires replayed logits and the disk has no room for them, or this machine can compute
            nothing that the study allows.
    """
    wanted, trainings_per_worker = context.study.teacher_logits, trainings * context.study.repeats / workers
    # The logit mode comes first: it decides which numerics are fastest, and these decide which logits are stored.
    mode = _cheaper_mode(context, trainings) if wanted == "auto" else wanted
    chosen, numerics_remarks = _with_fastest_numerics(context, mode, trainings_per_worker)
    missing_bytes = _missing_bytes(chosen) if chosen.study.teacher_logits == "replay" else 0
    size, remarks = f"{missing_bytes / 1e9:.2g} GB", _remarks_on_data(context)
    if wanted == "replay":
        check_room(missing_bytes)
    if wanted == "auto" and 2 * missing_bytes > room_bytes():
        chosen, numerics_remarks = _with_fastest_numerics(context, "live", trainings_per_worker)
        remarks.append(
            f"the teacher runs in every training step (teacher_logits = live), because storing its logits takes "
            f"{size}, more than half of the free space on the cache's disk"
        )
    elif missing_bytes >= 1e9:
        remarks.append(f"the teacher's logits will take {size} in the cache")
    return chosen, (*remarks, *numerics_remarks)


def _with_fastest_numerics(
    context: TrainingContext, mode: Literal["live", "replay"], trainings: float
) -> tuple[TrainingContext, tuple[str, ...]]:
    """Return a training context for the study in one logit mode with the fastest numerics, and remarks about them."""
    context = context.with_study(context.study.model_copy(update={"teacher_logits": mode}))
    numerics, remarks = resolve_numerics(context, trainings)
    return context.with_study(context.study.model_copy(update={"numerics": numerics})), remarks


def _cheaper_mode(context: TrainingContext, trainings: int) -> Literal["live", "replay"]:
    """Return ``replay`` if the teacher would otherwise compute the same logits more than once."""
    needed_epochs = trainings * context.study.training.epochs
    return "replay" if needed_epochs > context.logit_store(context.study.seed).shape.epochs else "live"


def _missing_bytes(context: TrainingContext) -> int:
    """Return the size of the logits that are not stored yet, in float16.

    If a logit exceeds the range of float16, they take twice as much. ``auto`` requires twice the space, which is enough
    in either case.
    """
    stores = {store.folder: store for store in map(context.logit_store, context.study.seeds())}.values()
    return sum(store.bytes for store in stores if store.missing_epochs())


def _remarks_on_data(context: TrainingContext) -> list[str]:
    """Return what a user should know of the data; the source of a data set that is not built in has spoken already."""
    of_source = context.arrays.remarks if context.study.dataset.name in DATASETS else ()
    return [*of_source, *context.task.remarks(context.arrays, context.splits)]
