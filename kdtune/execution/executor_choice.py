"""Choice of the executor that runs a study."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kdtune.errors import UsageError
from kdtune.execution.executor import Executor
from kdtune.execution.interrupts import Interrupts
from kdtune.results.folder import StudyFolder


@dataclass(frozen=True)
class ExecutorChoice:
    """Kind of executor and resources of each trial, as the caller chose them.

    Attributes:
        cpus: Cores for each trial.
        gpus: Share of a GPU for each trial, at most 1; None for one GPU if there are any.
        address: Address of a running Ray cluster; None starts Ray on this machine unless a cluster is configured.
        inline: Whether the study runs in this process, without Ray.
    """

    cpus: float
    gpus: float | None = None
    address: str | None = None
    inline: bool = False

    def __post_init__(self) -> None:
        """Refuse a cluster for a study that runs inline.

        Raises:
            UsageError: Both ``inline`` and ``address`` are given.
        """
        if self.inline and self.address is not None:
            raise UsageError(
                f"--address {self.address}: a study with --inline joins no cluster; leave out one of the options"
            )

    @contextmanager
    def opened(self, folder: StudyFolder, interrupts: Interrupts, tell: Callable[[str], None]) -> Iterator[Executor]:
        """Start the executor within the context.

        Args:
            folder: Results folder of the study.
            interrupts: Remembers whether the user asked to stop.
            tell: Receives short messages about the progress.

        Raises:
            UsageError: A trial needs more resources than there are.
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
