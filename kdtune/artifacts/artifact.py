"""Base class of artifacts, which are made once, cached, and billed to every strategy that uses them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from kdtune.energy.ledger import WindowBucket, read_folder
from kdtune.energy.several_nodes import account_of_nodes

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext

#: Returns a context manager that charges the calling process's energy to a bucket, in a window with the given name.
Charge = Callable[[str, WindowBucket], AbstractContextManager[None]]


class Artifact(ABC):
    """An item that strategies share, stored in its own folder of the cache.

    To add a kind of artifact, write a subclass and add it to :data:`kdtune.artifacts.caches.KINDS`. The executor treats
    all kinds alike: one command at a time makes an artifact while others wait, and each artifact has its own ledger.

    Attributes:
        kind: Name of the cache's folder that holds the folders of all artifacts of this kind.
        contents: Description of that folder, for lists of caches.
        description: Name of the artifact in messages, such as "the teacher".
        rounds: Maximum number of attempts to make the missing parts.
        folder: Folder of the artifact, named by a hash of everything that it depends on. It need not exist yet.
    """

    kind: ClassVar[str]
    contents: ClassVar[str]
    description: ClassVar[str]
    rounds: ClassVar[int] = 1
    folder: Path

    @property
    def ledger(self) -> Path:
        """The folder of the ledgers that record the energy of making the artifact."""
        return self.folder / "ledger"

    @abstractmethod
    def is_complete(self) -> bool:
        """Return whether all parts have been made."""

    @abstractmethod
    def announcement(self) -> str:
        """Return the message that tells the user that the artifact is being made."""

    def begin(self) -> None:  # noqa: B027 - most kinds need no preparation
        """Prepare the folder before any part is made. The caller holds the folder's lock."""

    def parts(self, slots: int) -> Sequence[Any]:
        """Return the parts that are still missing.

        Args:
            slots: Number of parts that can be made in parallel.

        Returns:
            Picklable arguments for :meth:`make`; empty if nothing is missing.
        """
        return (None,)

    @abstractmethod
    def make(self, context: "TrainingContext", part: Any, charge: Charge) -> None:
        """Make one part, in a worker.

        Args:
            context: The study's data and networks.
            part: One of :meth:`parts`.
            charge: Charges energy to a window. Energy used outside of windows counts as orchestration.
        """

    def finish(self) -> str | None:
        """Complete the artifact after all parts have been made, and return a message for the user or None."""
        return None

    @property
    def environment(self) -> Mapping[str, str] | None:
        """Environment variables of a separate process that makes the artifact; None if none is needed."""
        return None

    def copy_to_meter(self) -> Self | None:
        """Return the same artifact in another folder, where it can be made again to measure the energy of making it.

        Returns:
            None for artifacts that are not made again. Their energy then stays unknown.
        """
        return None

    def is_metered(self) -> bool:
        """Return whether the artifact's ledger contains measured energy."""
        return account_of_nodes(read_folder(self.ledger)).quality is not None

    def is_metered_completely(self) -> bool:
        """Return whether the ledger covers the making of the whole artifact and not only of a part."""
        return True

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what a strategy that uses the artifact records about it, without its energy."""
