"""Decides what a study leaves open, before anything of it is trained: how to compute, and whether to replay."""

from typing import Literal

import numpy as np

from kdtune.artifacts.logit_store import check_room, room_bytes
from kdtune.artifacts.workbench import Workbench
from kdtune.forecast.numerics_probe import resolve_numerics


def settled(bench: Workbench, trainings: int, workers: int = 1) -> tuple[Workbench, tuple[str, ...]]:
    """A bench for the same study with nothing left open, and what the user is to be told of it.

    Args:
        bench: Of the study, on the device on which its trainings run.
        trainings: That ask the teacher in one repeat, all of the study's strategies together: not only those that a
            command runs, since results under both modes could not stand in one table.
        workers: That train side by side.

    Raises:
        KdtuneError: The study insists on replayed logits, and the disk cannot hold them; or nothing that it allows
            can be computed here.
    """
    wanted, each = bench.study.teacher_logits, trainings * bench.study.repeats / workers
    # What a step consists of decides how it is computed fastest; and that, which logits there has to be room for.
    mode = _sensible_mode(bench, trainings) if wanted == "auto" else wanted
    chosen, of_numerics = _computed(bench, mode, each)
    due_bytes = _due_bytes(chosen) if chosen.study.teacher_logits == "replay" else 0
    size, remarks = f"{due_bytes / 1e9:.2g} GB", _lost_classes(bench)
    if wanted == "replay":
        check_room(due_bytes)
    if wanted == "auto" and 2 * due_bytes > room_bytes():
        chosen, of_numerics = _computed(bench, "live", each)
        remarks.append(
            f"the teacher is asked in every step: to keep its logits takes {size}, more than half of what the cache's "
            "disk has left"
        )
    elif due_bytes >= 1e9:
        remarks.append(f"the teacher's logits will take {size} in the cache")
    return chosen, (*remarks, *of_numerics)


def _computed(bench: Workbench, mode: Literal["live", "replay"], trainings: float) -> tuple[Workbench, tuple[str, ...]]:
    """A bench for the study under one mode, with the numerics that are fastest under it; and remarks about them."""
    bench = bench.sharing(bench.study.model_copy(update={"teacher_logits": mode}))
    numerics, remarks = resolve_numerics(bench, trainings)
    return bench.sharing(bench.study.model_copy(update={"numerics": numerics})), remarks


def _sensible_mode(bench: Workbench, trainings: int) -> Literal["live", "replay"]:
    """``replay`` where something would be asked twice."""
    asked = trainings * bench.study.training.epochs
    return "replay" if asked > bench.logit_store(bench.study.seed).shape.epochs else "live"


def _due_bytes(bench: Workbench) -> int:
    """What the logits that are still to be kept take; twice as much where they turn out too large for float16.

    So ``auto``, which wants twice the room, has enough of it in either case.
    """
    stores = {store.folder: store for store in map(bench.logit_store, bench.study.seeds())}.values()
    return sum(store.bytes for store in stores if store.missing_epochs())


def _lost_classes(bench: Workbench) -> list[str]:
    """What is to be told of classes that the data set has, and the part for training or for validation has not."""
    known = np.union1d(bench.arrays.train_labels, bench.arrays.test_labels)
    remarks = []
    for name, part, so in (
        ("training", bench.splits.train, "no network learns them"),
        ("validation", bench.splits.validation, "strategies choose without them"),
    ):
        if lost := len(np.setdiff1d(known, part.labels.cpu().numpy())):
            remarks.append(f"of {len(known)} classes {lost} have no {name} image: {so}")
    return remarks
