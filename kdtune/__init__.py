"""kdtune: which way of choosing the distillation temperature is worth its energy?

The public names are loaded on first use, so that importing the package (and asking the command
line for help) costs nothing: torch and Ray are imported only where they work.
"""

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which do not see what __getattr__ returns
    from kdtune.analysis.comparison import compare
    from kdtune.analysis.data_frames import load_results
    from kdtune.analysis.inference_measurement import measure_inference
    from kdtune.api import check_study, plan_study, resume_study, run_study
    from kdtune.energy.attribution import Account
    from kdtune.errors import (
        BudgetReached,
        BusyError,
        CompileError,
        DataError,
        DivergedError,
        Fault,
        KdtuneError,
        MachineError,
        RayError,
        Remark,
        ResultsError,
        ResultsExistError,
        SourceChangedError,
        SpecError,
        StudyInterrupted,
        UsageError,
    )
    from kdtune.execution.ray.energy_ledger import EnergyLedger, read_ledger
    from kdtune.execution.ray.trainable import DistillTrainable
    from kdtune.results.study_result import StudyResult
    from kdtune.results.watcher import Watcher
    from kdtune.specs import load_study

__version__ = "0.1.0"

#: The module of each public name.
_MODULE_OF = {
    "Account": "kdtune.energy.attribution",
    "BudgetReached": "kdtune.errors",
    "BusyError": "kdtune.errors",
    "CompileError": "kdtune.errors",
    "DataError": "kdtune.errors",
    "DistillTrainable": "kdtune.execution.ray.trainable",
    "DivergedError": "kdtune.errors",
    "EnergyLedger": "kdtune.execution.ray.energy_ledger",
    "Fault": "kdtune.errors",
    "KdtuneError": "kdtune.errors",
    "MachineError": "kdtune.errors",
    "RayError": "kdtune.errors",
    "Remark": "kdtune.errors",
    "ResultsError": "kdtune.errors",
    "ResultsExistError": "kdtune.errors",
    "SourceChangedError": "kdtune.errors",
    "SpecError": "kdtune.errors",
    "StudyInterrupted": "kdtune.errors",
    "StudyResult": "kdtune.results.study_result",
    "UsageError": "kdtune.errors",
    "Watcher": "kdtune.results.watcher",
    "check_study": "kdtune.api",
    "compare": "kdtune.analysis.comparison",
    "load_results": "kdtune.analysis.data_frames",
    "load_study": "kdtune.specs",
    "measure_inference": "kdtune.analysis.inference_measurement",
    "plan_study": "kdtune.api",
    "read_ledger": "kdtune.execution.ray.energy_ledger",
    "resume_study": "kdtune.api",
    "run_study": "kdtune.api",
}

__all__ = [
    "__version__",
    "Account",
    "BudgetReached",
    "BusyError",
    "CompileError",
    "DataError",
    "DistillTrainable",
    "DivergedError",
    "EnergyLedger",
    "Fault",
    "KdtuneError",
    "MachineError",
    "RayError",
    "Remark",
    "ResultsError",
    "ResultsExistError",
    "SourceChangedError",
    "SpecError",
    "StudyInterrupted",
    "StudyResult",
    "UsageError",
    "Watcher",
    "check_study",
    "compare",
    "load_results",
    "load_study",
    "measure_inference",
    "plan_study",
    "read_ledger",
    "resume_study",
    "run_study",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'kdtune' has no attribute {name!r}")
    found = getattr(import_module(_MODULE_OF[name]), name)
    if isinstance(found, FunctionType):
        # The command line calls the modules' own functions, whose errors name flags.
        found = import_module("kdtune.planning.argument_names").naming_arguments(found)
        found.__module__ = __name__  # by which pickle finds it
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
