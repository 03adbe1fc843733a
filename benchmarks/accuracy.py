"""Does a faster way of computing reach the accuracy of float32? Fashion-MNIST, three seeds, the same teacher."""

import os
from math import sqrt
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks.record import keep
from kdtune.distill.workbench import Workbench
from kdtune.specs import load_study
from kdtune.specs.study import PLAIN, Numerics

WAYS = {
    "float32 contiguous": PLAIN,
    "bfloat16 channels-last": Numerics(precision="bfloat16", memory_layout="channels_last", compile="off"),
    "float32 compiled": Numerics(precision="float32", memory_layout="contiguous", compile="on"),
}


def run() -> None:
    """Distil the student of ``fashion-hkd`` in each way, from the teacher that float32 trained."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    study = load_study("fashion-hkd", repeats=3)
    plain = Workbench(study.model_copy(update={"numerics": PLAIN}), device, os.cpu_count() or 1)
    teacher = plain.teacher.state_dict()
    found: dict[str, list[float]] = {}
    for name, numerics in WAYS.items():
        bench = plain.sharing(study.model_copy(update={"numerics": numerics, "teacher_logits": "live"}))
        model = bench.untrained_teacher()
        model.load_state_dict(teacher)
        bench.teacher = model
        found[name] = [_accuracy(bench, seed) for seed in study.seeds()]
    base = found["float32 contiguous"]
    keep(
        f"accuracy_{device.type}",
        "python -m benchmarks accuracy",
        {name: {"val_accuracy": values, **_against(values, base)} for name, values in found.items()},
    )


def _accuracy(bench: Workbench, seed: int) -> float:
    distiller = bench.distiller({"tau": 4}, seed)
    while not distiller.done:
        distiller.train_epoch()
    return distiller.last_metrics().val_accuracy


def _against(values: list[float], base: list[float]) -> dict[str, Any]:
    """The paired difference from float32, beside the standard error of float32's own mean."""
    return {
        "mean": fmean(values),
        "difference": fmean(values) - fmean(base),
        "standard_error_of_float32": stdev(base) / sqrt(len(base)),
    }
