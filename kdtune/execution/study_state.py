"""State of a study during a command: its strategies, which of them are finished, and their shared costs."""

from dataclasses import dataclass, field

from kdtune.energy.carbon import Carbon
from kdtune.planning.predecessors import predecessor
from kdtune.planning.trial_plan import uses_teacher
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.outcome import inputs_of_students, write_result
from kdtune.results.shared_document import CompilationInput, SharedInputs, SynthesisInput, Teacher, TeacherLogitsInput
from kdtune.results.shared_inputs import noted_inputs, write_shared
from kdtune.results.strategy_result import StrategyResult
from kdtune.results.trial_log import TrialLog
from kdtune.specs.study import Study
from kdtune.strategies.base import Strategy


@dataclass
class StudyState:
    """The strategies of a study, and the inputs that they share.

    Attributes:
        study: The study; all its settings are resolved once it has been inspected.
        strategies: For each label, the strategy of every repeat.
        folder: Results folder of the study.
        carbon: Conversion of energy to CO2.
        fresh: Whether earlier results are put aside.
        holds_earlier: Whether there are earlier results that stay in place until the study is about to train.
        teachers: Record and energy of each teacher by key, that of the first repeat first; empty before they are looked
            up.
        logits: Passes and energy of the teacher's logits, by store; None before they are looked up.
        synthesis: Facts and energy of synthetic images, by their folder; None before they are looked up.
        compilations: By strategy, the energy of compiling the code that it uses.
        errors: Reasons why strategies failed, one line each.
    """

    study: Study
    strategies: dict[str, list[Strategy]]
    folder: StudyFolder
    carbon: Carbon
    fresh: bool
    holds_earlier: bool = False
    teachers: dict[str, Teacher] = field(default_factory=dict)
    logits: dict[str, TeacherLogitsInput] | None = None
    synthesis: dict[str, SynthesisInput] | None = None
    compilations: dict[str, dict[str, CompilationInput]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.holds_earlier = self.fresh and any(self.folder.strategy(name).path.exists() for name in self.strategies)

    @property
    def needs_teacher(self) -> bool:
        """Whether any strategy uses a teacher."""
        return any(uses_teacher(self.study, name) for name in self.strategies)

    @property
    def trains_teacher(self) -> bool:
        """Whether the study needs a teacher and has to train it."""
        return self.needs_teacher and not self.study.teacher_weights

    @property
    def can_resume(self) -> bool:
        """Whether ``kdtune resume`` would continue this study, and not an earlier one in the same folder."""
        return self.folder.run_toml.exists() and not self.holds_earlier

    @property
    def kept(self) -> list[StrategyFolder]:
        """Folders of strategies from earlier commands that are not going to be put aside."""
        return [
            folder for folder in self.folder.strategies() if not (self.fresh and folder.path.name in self.strategies)
        ]

    @property
    def to_begin(self) -> dict[str, int]:
        """The strategies that this command begins, with the expected number of trials over all repeats."""
        return {
            name: sum(one.expected_trials() for one in made)
            for name, made in self.strategies.items()
            if self.fresh or not self.folder.strategy(name).study_toml.exists()
        }

    def log(self, name: str) -> TrialLog:
        """Read the trial log of a strategy."""
        return TrialLog.read(self.folder.strategy(name).trials)

    def is_begun(self, name: str) -> bool:
        """Return whether a strategy was begun; results that are to be put aside do not count."""
        return not self.holds_earlier and self.folder.strategy(name).study_toml.exists()

    def is_settled(self, name: str) -> bool:
        """Return whether nothing of a strategy is left to run."""
        return self.log(name).is_settled(self.study.repeats)

    @property
    def all_settled(self) -> bool:
        """Whether nothing of any strategy is left to run."""
        return all(map(self.is_settled, self.strategies))

    def share(self, name: str) -> None:
        """Write the shared costs that a strategy is charged for."""
        folder = self.folder.strategy(name)
        # If the command stopped before it looked up the teachers, the earlier command's entries are kept.
        noted, needed = noted_inputs(folder), uses_teacher(self.study, name)
        first, *others = [*(self.teachers or noted.teachers).values(), None] if needed else [None]
        logits = (noted.teacher_logits if self.logits is None else self.logits) if needed else {}
        compilations = noted.compilations | self.compilations.get(name, {})
        synthesis = (noted.synthesis if self.synthesis is None else self.synthesis) if needed else {}
        before = self._before(name)
        write_shared(folder, first, logits, compilations, synthesis, filter(None, others), before)

    def _before(self, name: str) -> SharedInputs | None:
        """Return the students with which a strategy begins, and the inputs of the strategy that chose them."""
        label, folder = predecessor(self.study, name), self.folder.strategy(name)
        if label is None:
            return None
        # Students that a strategy has used keep their cost, even if others replace them with --fresh.
        noted = noted_inputs(folder)
        if noted.students and self.log(name).is_trained(self.study.repeats):
            return noted
        return inputs_of_students(self.folder.strategy(label), self.carbon)

    def account(self, name: str) -> StrategyResult:
        """Write a strategy's result and return it."""
        self.share(name)
        if self.is_settled(name):
            self.folder.strategy(name).remove_checkpoints()
        return write_result(self.folder.strategy(name), self.carbon)
