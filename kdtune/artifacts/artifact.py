"""What is made once, kept in the cache, and billed to every strategy that uses it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from kdtune.energy.ledger import WindowBucket, read_folder
from kdtune.energy.several_nodes import charge_all

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext

#: Charges what the calling process does inside the context to a window with a name, in a bucket.
Charge = Callable[[str, WindowBucket], AbstractContextManager[None]]


class Artifact(ABC):
    """One thing that strategies share, in a folder of its own in the cache.

    A new kind of artifact is a subclass, and a line in :data:`kdtune.artifacts.caches.KINDS`. The executor's side (one
    command at a time makes it, others wait; its energy goes to its own ledger) is the same for all kinds.

    Attributes:
        kind: The folder in the cache in which artifacts of this kind are kept, each in a folder of its own.
        contents: What is kept there, for lists of caches.
        description: What it is, for messages, such as "the teacher".
        rounds: How often parts that are missing are made before the artifact is given up.
        folder: Its folder; named by a hash of everything that it depends on, and need not exist yet.
    """

    kind: ClassVar[str]
    contents: ClassVar[str]
    description: ClassVar[str]
    rounds: ClassVar[int] = 1
    folder: Path

    @property
    def ledger(self) -> Path:
        """The folder with the energy ledgers of its making."""
        return self.folder / "ledger"

    @abstractmethod
    def is_complete(self) -> bool:
        """Whether all of it has been made."""

    @abstractmethod
    def announcement(self) -> str:
        """The message for the user when it is about to be made."""

    def begin(self) -> None:  # noqa: B027 - most kinds need no preparation
        """Prepare the folder before anything is made; called by the process that holds the folder's lock."""

    def parts(self, slots: int) -> Sequence[Any]:
        """The parts that are still to be made.

        Args:
            slots: How many parts can be made side by side.

        Returns:
            Picklable arguments for :meth:`make`; none where nothing is left to be made.
        """
        return (None,)

    @abstractmethod
    def make(self, context: "TrainingContext", part: Any, charge: Charge) -> None:
        """Make one part, in a worker.

        Args:
            context: The study's data and networks.
            part: One of :meth:`parts`.
            charge: Charges a window; what happens outside one is orchestration.
        """

    def finish(self) -> str | None:
        """Complete the artifact after all parts have been made; returns a message for the user, if there is one."""
        return None

    @property
    def environment(self) -> Mapping[str, str] | None:
        """Variables of a process that is started for making it alone; None needs no such process."""
        return None

    def copy_to_meter(self) -> Self | None:
        """The same artifact in another folder, where it can be made again only to meter what that takes.

        Returns:
            None where it is not made again: its energy then stays unknown.
        """
        return None

    def is_metered(self) -> bool:
        """Whether its ledger has counted any energy."""
        return charge_all(read_folder(self.ledger)).quality is not None

    def is_metered_completely(self) -> bool:
        """Whether its ledger covers all of its making, and not only a part."""
        return True

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a strategy that uses it notes of it, without its energy."""
