"""Which executor runs a study, and what it is given."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kdtune.errors import UsageError
from kdtune.execution.executor import Executor
from kdtune.execution.interrupts import Interrupts
from kdtune.results.folder import StudyFolder


@dataclass(frozen=True)
class ExecutorChoice:
    """What a user asked of the executor.

    Attributes:
        cpus: Cores for each trial.
        gpus: Share of a GPU for each trial, at most 1; None gives one where there is any.
        address: Of a running Ray cluster; None starts Ray here where none is known.
        inline: Whether the study runs in this very process, without Ray.
    """

    cpus: float
    gpus: float | None = None
    address: str | None = None
    inline: bool = False

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError: Naming the flags.
        """
        if self.inline and self.address is not None:
            raise UsageError(
                f"--address {self.address}: a study that runs --inline joins no cluster; give one of the two"
            )

    @contextmanager
    def opened(self, folder: StudyFolder, interrupts: Interrupts, tell: Callable[[str], None]) -> Iterator[Executor]:
        """Start the executor, and stop it afterwards.

        Args:
            folder: The study's.
            interrupts: Whether the user asked to stop.
            tell: Called with what happens, in a few words.

        Raises:
            UsageError: A trial asks for more than there is.
            RayError: Ray does not start.
        """
        if self.inline:
            from kdtune.execution.inline.opening import opened_inline

            opened = opened_inline(folder, self.cpus, self.gpus, interrupts, tell)
        else:
            from kdtune.execution.ray.opening import opened_ray

            opened = opened_ray(folder, self.cpus, self.gpus, self.address, interrupts, tell)
        with opened as executor:
            yield executor
