"""The dataclasses of ``shared.json``: what a strategy shares with others, as far as it is relied on."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from kdtune.energy.sensors.node import Quality
from kdtune.results.cost_document import Inputs
from kdtune.results.documents import Accuracy, Amount, Bucket, BucketOrTotal, Count, Flag, Source, TestMetrics
from kdtune.storage.records import strict

_ByBucket = Annotated[dict[BucketOrTotal, Count], Field(min_length=6)]

#: What a strategy is charged for and shares with others: sessions, stores of the teacher's answers, generated code.
KINDS = ("session", "teacher_logits", "compilation")


@strict
@dataclass(frozen=True)
class LedgerSummary:
    """What a ledger folder came to, for an input that strategies share.

    Attributes:
        energy_uj: By bucket, and their sum as ``node_total``.
        sources_uj: By bucket and source.
        charged_uj: What is charged of it.
        gap_uj: What nodes used while no meter ran.
        flags: How often something could not be known.
        wall_s: Seconds that were metered.
        quality: The least trustworthy source.
    """

    energy_uj: _ByBucket
    sources_uj: Annotated[dict[Bucket, dict[Source, Count]], Field(min_length=5)]
    charged_uj: Count
    gap_uj: Count
    flags: dict[Flag, Count]
    wall_s: Amount
    quality: Quality


@strict
@dataclass(frozen=True)
class TeacherEnergy:
    """What of a teacher's energy is shown; fields as of :class:`LedgerSummary`."""

    charged_uj: Count
    energy_uj: _ByBucket | None = None
    flags: dict[Flag, Count] = field(default_factory=dict)


@strict
@dataclass(frozen=True)
class Teacher:
    """A teacher's record with the energy of making it.

    Attributes:
        model: Its name.
        key: Of its folder in the cache.
        val_accuracy: A fraction.
        test: Metrics on the test images.
        gflops_millions: Of its training; None where it was given.
        energy: Of its training, or of measuring it where it was given; None where that was not metered.
        given: Identity of the weights that a user gave; None where it was trained here.
    """

    model: str
    key: str
    val_accuracy: Accuracy
    test: TestMetrics
    gflops_millions: Amount | None
    energy: TeacherEnergy | None
    given: str | None = None

    @property
    def training(self) -> TeacherEnergy | None:
        """Energy of its training; None where that is not known, as of a teacher that was given."""
        return None if self.given else self.energy


@strict
@dataclass(frozen=True)
class Logits:
    """A store of the teacher's logits: how many passes of the teacher filled it, and their energy."""

    passes: Count
    energy: LedgerSummary | None


@strict
@dataclass(frozen=True)
class Compilation:
    """Code that was generated for networks, and the energy of that."""

    energy: LedgerSummary | None


@strict
@dataclass(frozen=True)
class Shared:
    """What a strategy shares with others, each input by its id."""

    sessions: dict[str, LedgerSummary] = field(default_factory=dict)
    teacher: Teacher | None = None
    teacher_logits: dict[str, Logits] = field(default_factory=dict)
    compilations: dict[str, Compilation] = field(default_factory=dict)

    @property
    def by_kind(self) -> dict[str, dict[str, LedgerSummary]]:
        """By kind and id, the summaries of what was counted."""
        made = (self.teacher_logits, self.compilations)
        counted = [{name: one.energy for name, one in those.items() if one.energy} for those in made]
        return dict(zip(KINDS, [self.sessions, *counted], strict=True))

    @property
    def charged_inputs(self) -> list[LedgerSummary]:
        """The summaries of all that the strategy is charged for."""
        return [summary for by_id in self.by_kind.values() for summary in by_id.values()]

    @property
    def charged_parts(self) -> Inputs:
        """What the strategy is charged, in microjoules, by kind and id."""
        return {
            kind: {name: summary.charged_uj for name, summary in by_id.items()} for kind, by_id in self.by_kind.items()
        }
