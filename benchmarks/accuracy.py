"""Comparison of the accuracy that students reach with reduced numerics and with float32.

All numerics use the same teacher and the same seeds. There are two pairs of networks: that of ``fashion-hkd`` on all of
Fashion-MNIST, and one with MobileNetV2 on scikit-learn's digits. MobileNetV2 is included for its strided depthwise
convolutions, which are computed in float32 on a CPU even with bfloat16. The teacher's logits are computed once for each
numerics and replayed, as in studies.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev, variance
from typing import Any

import torch

from benchmarks.record import ResultsByRound, print_progress
from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs import load_study
from kdtune.specs.numerics import PLAIN, Numerics
from kdtune.specs.study import Study
from kdtune.specs.suggestion import Suggestion
from kdtune.training.resolution import resolved_recipe
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher

#: Trainings with each numerics, with the study's first seeds. Any change of numerics gives another training, so that
#: three seeds would show little.
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
    """A teacher, a student and a data set.

    Attributes:
        study: Name of the study.
        ways: Names of the numerics, among the keys of :data:`WAYS`.
        overrides: Changes to the study's settings.
        epochs: Epochs of the student; None for the study's own number.
    """

    study: str
    ways: Sequence[str]
    overrides: tuple[str, ...] = ()
    epochs: int | None = None

    def load(self, seeds: int) -> Study:
        """Return the study with a number of repeats."""
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
    """Distil both students with each numerics, from teachers that were trained in float32.

    Args:
        pairs: Pairs of networks by name.
        seeds: Number of trainings for each numerics.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sheet = ResultsByRound(f"accuracy_{device.type}", "python -m benchmarks accuracy")
    results: dict[str, Any] = {
        "verdict": "reached: the mean over the seeds is at most one standard error of the difference below that of "
        "float32; numerics that are equally good miss this in one of six cases",
        "pairs": {},
    }
    for name, pair in pairs.items():
        print_progress(f"{name}: the teacher")
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
                except RuntimeError as error:  # for example because there is no compiler
                    failed[way] = str(error).strip().splitlines()[0]
                seconds = time.perf_counter() - began_s
                first_s.setdefault(way, seconds)
                print_progress(f"{name}, seed {seed}, {way}: {failed.get(way) or found[way][-1]} ({seconds:.0f} s)")
            results["pairs"][name] = {
                "epochs": study.training.epochs,
                "seeds": len(found[BASE]),
                "ways": {
                    way: {"failed": failed[way]} if way in failed else _against(found[way], found[BASE])
                    for way in pair.ways
                },
                # The first training includes compilation.
                "first_training_s": first_s,
            }
            sheet.save(results)
    sheet.finish(results)


def _trainers(study: Study, ways: Sequence[str], device: torch.device) -> dict[str, Callable[[int], float]]:
    """Return, for each numerics, a function that trains a student with a seed and returns its validation accuracy."""
    plain = TrainingContext(study.model_copy(update={"numerics": PLAIN}), device, os.cpu_count() or 1)
    teacher = plain.teacher.state_dict()
    return {way: _trainer(plain, WAYS[way], teacher) for way in ways}


def _trainer(plain: TrainingContext, numerics: Numerics, teacher: dict[str, torch.Tensor]) -> Callable[[int], float]:
    context = plain.with_study(plain.study.model_copy(update={"numerics": numerics}))
    model = context.untrained_teacher()
    model.load_state_dict(teacher)
    live, train = LiveTeacher(model, context.arithmetic), context.splits.train
    indices = torch.arange(len(train), device=context.device).split(train.pass_size)
    # Neither data set is augmented, so the logits are the same in all epochs and for all seeds.
    rows = torch.cat([live(train.normalised(index), index).half() for index in indices])
    recipe = resolved_recipe(context.study, Suggestion(values={"tau": 4}))

    def train_one(seed: int) -> float:
        distiller = context.training(recipe, seed, ReplayedTeacher(lambda epoch: rows, context.device))
        while not distiller.done:
            distiller.train_epoch()
        accuracy = distiller.last_metrics().val_accuracy
        assert accuracy is not None  # the study has validation images
        return accuracy

    return train_one


def _against(values: list[float], base: list[float]) -> dict[str, Any]:
    """Compare accuracies with those of float32 for the same seeds; standard errors are None for a single seed."""
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
