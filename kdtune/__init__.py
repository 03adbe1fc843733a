"""kdtune: which way of choosing the distillation temperature is worth its energy?

The public names are loaded on first use, so that importing the package (and asking the command
line for help) costs nothing: torch and Ray are imported only where they work.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "DistillTrainable": "kdtune.tuning.trainable",
    "EnergyLedger": "kdtune.tuning.energy_ledger",
    "KdtuneError": "kdtune.errors",
    "StudyInterrupted": "kdtune.errors",
    "SpecError": "kdtune.errors",
    "compare": "kdtune.analysis.comparison",
    "load_results": "kdtune.analysis.frames",
    "load_study": "kdtune.specs",
    "measure_inference": "kdtune.inference",
    "plan_study": "kdtune.api",
    "resume_study": "kdtune.api",
    "run_study": "kdtune.api",
}

__all__ = ["__version__", *sorted(_LAZY)]  # noqa: PLE0604 - the names that __getattr__ resolves


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'kdtune' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
