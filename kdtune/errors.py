"""What can go wrong, as types: each knows the exit code that the command line ends with."""

from collections.abc import Sequence
from dataclasses import dataclass


class KdtuneError(Exception):
    """Anything that kdtune reports to its user in one message, without a traceback."""

    exit_code = 1


@dataclass(frozen=True)
class Fault:
    """One thing wrong with what the user gave.

    Attributes:
        where: The file or flag, such as ``studies/mine.toml`` or ``--set``.
        key: The dotted key inside it, empty when the whole is meant.
        problem: What is wrong, and the remedy.
    """

    where: str
    key: str
    problem: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.problem) if part)


class UsageError(KdtuneError):
    """The request cannot be carried out as it was given; nothing was run."""

    exit_code = 2


class SpecError(UsageError):
    """A study, a search space or an override is wrong. Carries every fault found, not the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DataError(UsageError):
    """A data set is missing, incomplete or damaged; names the file and the remedy."""


class ResultsExistError(UsageError):
    """The results folder holds an earlier run, which is never overwritten or mixed with another one."""


class ResultsError(UsageError):
    """A results folder cannot be read: it is missing, damaged, or not one of kdtune's."""


class BusyError(UsageError):
    """Another process is using the same results folder."""


class MachineError(KdtuneError):
    """Something that trials rely on failed, such as a disk, a cache or memory; the study can be resumed."""


class SourceChangedError(MachineError):
    """The source of a component was edited while a study used it; once it is restored, a resume goes on."""


class RayError(MachineError):
    """Ray could not be started, or died."""


class StudyInterrupted(KdtuneError):
    """The user stopped the study; what was finished and spent is kept."""

    exit_code = 130


class BudgetReached(KdtuneError):
    """The study used what it was allowed to use; what was finished and spent is kept."""

    exit_code = 4


class CompileError(KdtuneError):
    """The networks cannot be compiled here."""


class DivergedError(KdtuneError):
    """A training's loss stopped being a finite number."""


class Remark(UserWarning):
    """Something that a user should know and that stops nothing, as a Python warning; commands show it on stderr."""
