"""Time of the digits grid as a study, compared with the same trainings one after the other in a bare loop."""

import tempfile
import time
from pathlib import Path

import torch

import kdtune
from benchmarks.record import save
from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs.suggestion import Suggestion
from kdtune.training.resolution import resolved_recipe


def run() -> None:
    """Time one repeat of the digits grid with Ray Tune, and the same trainings in a bare loop on one core."""
    study = kdtune.load_study("digits-hkd", repeats=1)
    with tempfile.TemporaryDirectory() as folder:
        kdtune.run_study(study, "fixed", out=Path(folder) / "warm")  # trains the teacher and decodes the data
        began = time.perf_counter()
        result = kdtune.run_study(study, "grid", out=folder).results[0]
        study_s = time.perf_counter() - began
    context = TrainingContext(study, torch.device("cpu"), 1)
    _ = context.teacher
    began = time.perf_counter()
    for point in study.search_space.points():
        distiller = context.distiller(resolved_recipe(study, Suggestion(values=point)), study.seed)
        while not distiller.done:
            distiller.train_epoch()
    loop_s = time.perf_counter() - began
    energy = result["cost"]["energy_uj"]
    save(
        "study_time",
        "python -m benchmarks study_time",
        {
            "trials": result["cost"]["trials"]["completed"],
            "epochs": study.training.epochs,
            "study_s": study_s,
            "strategy_s": result["cost"]["wall_s"],
            "bare_loop_on_one_core_s": loop_s,
            "study_over_bare_loop": study_s / loop_s,
            "energy_uj": energy,
        },
    )
