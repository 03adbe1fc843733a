"""Decides what a study leaves open, before anything of it is trained: how to compute, and whether to replay."""

from typing import Literal

import numpy as np

from kdtune.data.logit_store import check_room, room_bytes
from kdtune.distill.probing import resolve_numerics
from kdtune.distill.workbench import Workbench


def settled(bench: Workbench, trainings: int) -> tuple[Workbench, tuple[str, ...]]:
    """A bench for the same study with nothing left open, and what the user is to be told of it.

    Args:
        bench: Of the study, on the device on which its trainings run.
        trainings: That ask the teacher in one repeat, all of the study's strategies together: not only those that a
            command runs, since results under both modes could not stand in one table.

    Raises:
        KdtuneError: The study insists on replayed logits, and the disk cannot hold them.
    """
    numerics = resolve_numerics(bench)
    bench = bench.sharing(bench.study.model_copy(update={"numerics": numerics}))
    mode, remarks = _teacher_logits(bench, trainings)
    return bench.sharing(bench.study.model_copy(update={"teacher_logits": mode})), (*_lost_classes(bench), *remarks)


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


def _teacher_logits(bench: Workbench, trainings: int) -> tuple[Literal["live", "replay"], tuple[str, ...]]:
    wanted = bench.study.teacher_logits
    if wanted == "live":
        return "live", ()
    stores = {store.folder: store for store in map(bench.logit_store, bench.study.seeds())}.values()
    due_bytes = sum(store.shape.bytes for store in stores if store.missing_epochs())
    size = f"{due_bytes / 1e9:.2g} GB"
    if wanted == "replay":
        check_room(due_bytes)
    elif trainings * bench.study.training.epochs <= bench.logit_store(bench.study.seed).shape.epochs:
        return "live", ()  # nothing is asked twice
    elif 2 * due_bytes > room_bytes():
        return "live", (
            f"the teacher is asked in every step: to keep its logits takes {size}, more than half of what the cache's "
            "disk has left",
        )
    return "replay", (f"the teacher's logits will take {size} in the cache",) if due_bytes >= 1e9 else ()
