"""kdtune: which way of choosing the distillation temperature is worth its energy?

The public names are loaded on first use, so that importing the package (and asking the command
line for help) costs nothing: torch and Ray are imported only where they work.
"""

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors, which do not see what __getattr__ returns
    from kdtune.analysis.comparison import compare as compare
    from kdtune.analysis.frames import load_results as load_results
    from kdtune.api import plan_study as plan_study
    from kdtune.api import resume_study as resume_study
    from kdtune.api import run_study as run_study
    from kdtune.energy.attribution import Account as Account
    from kdtune.errors import (
        BudgetReached as BudgetReached,
    )
    from kdtune.errors import (
        BusyError as BusyError,
    )
    from kdtune.errors import (
        CompileError as CompileError,
    )
    from kdtune.errors import (
        DataError as DataError,
    )
    from kdtune.errors import (
        DivergedError as DivergedError,
    )
    from kdtune.errors import (
        Fault as Fault,
    )
    from kdtune.errors import (
        KdtuneError as KdtuneError,
    )
    from kdtune.errors import (
        MachineError as MachineError,
    )
    from kdtune.errors import (
        RayError as RayError,
    )
    from kdtune.errors import (
        ResultsError as ResultsError,
    )
    from kdtune.errors import (
        ResultsExistError as ResultsExistError,
    )
    from kdtune.errors import (
        SpecError as SpecError,
    )
    from kdtune.errors import (
        StudyInterrupted as StudyInterrupted,
    )
    from kdtune.errors import (
        UsageError as UsageError,
    )
    from kdtune.inference import measure_inference as measure_inference
    from kdtune.results.study_result import StudyResult as StudyResult
    from kdtune.specs import load_study as load_study
    from kdtune.tuning.energy_ledger import EnergyLedger as EnergyLedger
    from kdtune.tuning.energy_ledger import read_ledger as read_ledger
    from kdtune.tuning.trainable import DistillTrainable as DistillTrainable
    from kdtune.watch import Watcher as Watcher

__version__ = "0.1.0"

#: The module of each public name.
_MODULE_OF = {
    "Account": "kdtune.energy.attribution",
    "BudgetReached": "kdtune.errors",
    "BusyError": "kdtune.errors",
    "CompileError": "kdtune.errors",
    "DataError": "kdtune.errors",
    "DistillTrainable": "kdtune.tuning.trainable",
    "DivergedError": "kdtune.errors",
    "EnergyLedger": "kdtune.tuning.energy_ledger",
    "Fault": "kdtune.errors",
    "KdtuneError": "kdtune.errors",
    "MachineError": "kdtune.errors",
    "RayError": "kdtune.errors",
    "ResultsError": "kdtune.errors",
    "ResultsExistError": "kdtune.errors",
    "SpecError": "kdtune.errors",
    "StudyInterrupted": "kdtune.errors",
    "StudyResult": "kdtune.results.study_result",
    "UsageError": "kdtune.errors",
    "Watcher": "kdtune.watch",
    "compare": "kdtune.analysis.comparison",
    "load_results": "kdtune.analysis.frames",
    "load_study": "kdtune.specs",
    "measure_inference": "kdtune.inference",
    "plan_study": "kdtune.api",
    "read_ledger": "kdtune.tuning.energy_ledger",
    "resume_study": "kdtune.api",
    "run_study": "kdtune.api",
}

__all__ = ["__version__", *_MODULE_OF]  # noqa: PLE0604 - the names that __getattr__ resolves


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'kdtune' has no attribute {name!r}")
    found = getattr(import_module(_MODULE_OF[name]), name)
    if isinstance(found, FunctionType):
        # The command line calls the modules' own functions, whose errors name flags.
        found = import_module("kdtune.arguments").naming_arguments(found)
        found.__module__ = __name__  # by which pickle finds it
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
