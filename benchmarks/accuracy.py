"""Does a faster way of computing reach the accuracy of float32? The same teacher and the same seeds for every way.

Two pairs: that of ``fashion-hkd``, on all of Fashion-MNIST; and MobileNetV2, for its strided depthwise convolutions,
which bfloat16 leaves to float32 on a CPU, on scikit-learn's digits. What the teacher says is computed once for each
way and looked up, as studies do it.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev, variance
from typing import Any

import torch

from benchmarks.record import TurnByTurn, tell
from kdtune.artifacts.workbench import Workbench
from kdtune.specs import load_study
from kdtune.specs.study import PLAIN, Numerics, Study
from kdtune.specs.suggestion import Suggestion
from kdtune.training.evaluation import BATCH_SIZE
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher

#: Trainings of each way; the seeds are the study's first. Three would tell little: other bits are other trainings.
SEEDS = 10

BASE = "float32 contiguous"

FAST = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")

WAYS = {
    BASE: PLAIN,
    "bfloat16 channels-last": FAST,
    "bfloat16 channels-last, compiled": FAST.model_copy(update={"compile": "on"}),
}


@dataclass(frozen=True)
class Pair:
    """A teacher, a student and data.

    Attributes:
        study: Name of the study.
        ways: Of computing, among :data:`WAYS`.
        overrides: What is set otherwise in the study.
        epochs: Of the student; None for the study's own.
    """

    study: str
    ways: Sequence[str]
    overrides: tuple[str, ...] = ()
    epochs: int | None = None

    def load(self, seeds: int) -> Study:
        """The study."""
        return load_study(self.study, overrides=self.overrides, epochs=self.epochs, repeats=seeds)


PAIRS = {
    "fashion_mnist, convnet_16_32_64 to convnet_4_8_16": Pair(
        "fashion-hkd", tuple(WAYS), ("teacher_training.epochs=3", "teacher_training.milestones=[1,2]")
    ),
    "digits, convnet_32 to mobilenet_v2": Pair(
        "digits-hkd", tuple(WAYS)[:2], ("student=mobilenet_v2", "training.batch_size=64"), epochs=10
    ),
}


def run(pairs: dict[str, Pair] = PAIRS, seeds: int = SEEDS) -> None:
    """Distil both students in each way, from the teachers that float32 trained."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sheet = TurnByTurn(f"accuracy_{device.type}", "python -m benchmarks accuracy")
    results: dict[str, Any] = {
        "verdict": "reached: the mean over the seeds is below float32's by no more than the standard error of the "
        "difference of the two means; of ways that are equal in truth one in six fails it all the same",
        "pairs": {},
    }
    for name, pair in pairs.items():
        tell(f"{name}: the teacher")
        study = pair.load(seeds)
        trainers = _trainers(study, pair.ways, device)
        found: dict[str, list[float]] = {way: [] for way in pair.ways}
        failed: dict[str, str] = {}
        first_s: dict[str, float] = {}
        for seed in study.seeds():
            for way in pair.ways:
                if way in failed:
                    continue
                began_s = time.perf_counter()
                try:
                    found[way].append(trainers[way](seed))
                except RuntimeError as error:  # no compiler, say
                    failed[way] = str(error).strip().splitlines()[0]
                seconds = time.perf_counter() - began_s
                first_s.setdefault(way, seconds)
                tell(f"{name}, seed {seed}, {way}: {failed.get(way) or found[way][-1]} ({seconds:.0f} s)")
            results["pairs"][name] = {
                "epochs": study.training.epochs,
                "seeds": len(found[BASE]),
                "ways": {
                    way: {"failed": failed[way]} if way in failed else _against(found[way], found[BASE])
                    for way in pair.ways
                },
                # Its first training has compiling in it.
                "first_training_s": first_s,
            }
            sheet.keep(results)
    sheet.finish(results)


def _trainers(study: Study, ways: Sequence[str], device: torch.device) -> dict[str, Callable[[int], float]]:
    """For each way what trains a student with a seed and gives its validation accuracy."""
    plain = Workbench(study.model_copy(update={"numerics": PLAIN}), device, os.cpu_count() or 1)
    teacher = plain.teacher.state_dict()
    return {way: _trainer(plain, WAYS[way], teacher) for way in ways}


def _trainer(plain: Workbench, numerics: Numerics, teacher: dict[str, torch.Tensor]) -> Callable[[int], float]:
    bench = plain.sharing(plain.study.model_copy(update={"numerics": numerics}))
    model = bench.untrained_teacher()
    model.load_state_dict(teacher)
    answers, train = LiveTeacher(model, bench.arithmetic), bench.splits.train
    indices = torch.arange(len(train), device=bench.device).split(BATCH_SIZE)
    # Neither data set is changed at random, so an epoch's answers are those of all epochs and seeds.
    rows = torch.cat([answers(train.normalised(index), index).half() for index in indices])
    recipe = resolved_recipe(bench.study, Suggestion(values={"tau": 4}))

    def train_one(seed: int) -> float:
        distiller = bench.training(recipe, seed, ReplayedTeacher(lambda epoch: rows, bench.device))
        while not distiller.done:
            distiller.train_epoch()
        return distiller.last_metrics().val_accuracy

    return train_one


def _against(values: list[float], base: list[float]) -> dict[str, Any]:
    """How a way compares with float32 over the same seeds; null where one seed tells nothing of a deviation."""
    difference = fmean(values) - fmean(base)
    paired = [one - other for one, other in zip(values, base, strict=True)]
    error = sqrt((variance(values) + variance(base)) / len(values)) if len(values) > 1 else None
    return {
        "val_accuracy": values,
        "mean": fmean(values),
        "difference": difference,
        "standard_error_of_difference": error,
        "standard_error_of_paired_difference": stdev(paired) / sqrt(len(paired)) if len(values) > 1 else None,
        "reached": None if error is None else difference >= -error,
    }
