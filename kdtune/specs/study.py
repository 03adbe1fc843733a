"""The model of a study, as in ``studies/*.toml``."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from kdtune.catalog.builtin import DATASETS, DEFAULT_TASK, LOSSES, TASKS, objectives_of
from kdtune.catalog.metric import Metric
from kdtune.specs.component import Component, StudyComponent
from kdtune.specs.counts import Count
from kdtune.specs.data_info import DataInfo, built_in_info
from kdtune.specs.data_options import DataOptions
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.numerics import Numerics
from kdtune.specs.search_space import SearchSpace
from kdtune.specs.training import Training

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]

#: What may differ between repeats besides the seeds of the trainings.
Source = Literal["split", "teacher"]

#: Weight of the distillation term under a user's loss, if the study gives none.
DEFAULT_ALPHA = 1.0

#: Valid names of studies.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

#: Largest difference of accuracy that does not matter: half a point.
DEFAULT_MARGIN = 0.005


def _name_in(component: Any) -> str:
    """Return the name of a component that has not been validated."""
    if isinstance(component, Component):
        return component.name
    return str(component.get("ref") if isinstance(component, Mapping) else component)


class Setting(FrozenModel):
    """Settings that all trainings of a study share: data, networks, teacher and numerics.

    Attributes:
        task: What the networks are trained for, by name or reference.
        objective: Name of the metric on the validation images. Strategies receive it, it chooses the trial, and early
            stopping judges it. The task's first metric by default.
        objective_info: How that metric is judged and shown, of a task that is not built in; None for a built-in task.
        dataset: The data set, by name or reference.
        dataset_info: Sizes, class names and fingerprint of a data set that is not built in, determined before a run.
            None for a built-in data set.
        data: Which part of the data set is used; all of it by default.
        validation: Share (a fraction) or number (an integer) of training images that are held out for the strategies.
        split_seed: Seed of the train and validation split, which is the same for all strategies, and for all repeats
            unless the study varies it.
        training: Training of the student, unless a suggestion changes it.
        teacher_training: Training of the teacher.
        teacher_seed: Seed of the teacher's training, which does not depend on the study's ``seed``.
        teacher_weights: Identity of weights that the user gave for the teacher (``--teacher FILE``), 16 hexadecimal
            digits; None for a teacher that is trained.
        numerics: Precision, memory layout and compilation.
        teacher_logits: ``live`` computes the teacher's logits in every step. ``replay`` computes them once per repeat,
            for all trials, and then reads them from disk. ``auto`` uses ``replay`` if that saves energy and the logits
            fit on the disk.
        synthesis: Makes the student's training images from the teacher, with all of its options; None for a student
            that is trained on the data set.
        selection: What strategies choose by: ``synthetic`` images that are held out, on which the accuracy is the
            agreement with the teacher, or the real ``validation`` images. By default the former if there is a
            synthesis.
    """

    task: StudyComponent = Component(name=DEFAULT_TASK)
    objective: str
    objective_info: Metric | None = None
    dataset: StudyComponent
    dataset_info: DataInfo | None = None
    data: DataOptions = DataOptions()
    teacher: StudyComponent
    student: StudyComponent
    validation: Fraction | Count = 0.1
    split_seed: int = Field(default=0, ge=0, lt=2**31, strict=True)
    teacher_seed: int = Field(default=0, ge=0, lt=2**31, strict=True)
    training: Training
    teacher_training: Training
    teacher_weights: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$")
    numerics: Numerics = Numerics()
    teacher_logits: Literal["auto", "live", "replay"] = "auto"
    synthesis: StudyComponent | None = None
    selection: Literal["synthetic", "validation"]

    @model_validator(mode="before")
    @classmethod
    def _default_selection(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "selection" in values:
            return values
        return {**values, "selection": "validation" if values.get("synthesis") is None else "synthetic"}

    @model_validator(mode="before")
    @classmethod
    def _default_objective(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "objective" in values:
            return values
        return {**values, "objective": objectives_of(_name_in(values.get("task", DEFAULT_TASK)))[0].name}

    @model_validator(mode="after")
    def _graphs_need_resident_images(self) -> "Setting":
        if self.numerics.captures_steps and not self.data.resident:
            raise ValueError(
                "a captured step cannot read images from the host; set data.resident = true, or numerics.compile to "
                "'off' or 'on'"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_table(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Options with default values are left out, so that they do not change identities from before they existed.
        table: dict[str, Any] = handler(self)
        if not any(value is not None for value in table.get("data", {}).values()):
            table.pop("data", None)
        if self.numerics == Numerics():
            table.pop("numerics", None)
        if self.teacher_logits == "auto":
            table.pop("teacher_logits", None)
        if self.teacher_weights is None:
            table.pop("teacher_weights", None)
        if self.synthesis is None:
            table.pop("synthesis", None)
            table.pop("selection", None)
        if self.dataset_info is None:
            table.pop("dataset_info", None)
        if self.objective == objectives_of(self.task.name)[0].name:
            table.pop("objective", None)
        if self.objective_info is None:
            table.pop("objective_info", None)
        if not table.get("vary", True):
            table.pop("vary")
        first: dict[str, Any] = {key: table[key] for key in ("name", "description") if key in table}
        return {**first, **table}

    @property
    def data_info(self) -> DataInfo:
        """Sizes and class names of the data set.

        Raises:
            KeyError: The data set is not built in, and its facts have not been determined yet.
        """
        if self.dataset_info:
            return self.dataset_info
        return built_in_info(self.dataset)

    @property
    def is_data_free(self) -> bool:
        """Whether no real training image is read once there is a teacher: neither for training nor for selection."""
        return self.synthesis is not None and self.selection == "synthetic"

    def with_data_info(self, info: DataInfo) -> Self:
        """Return the same setting with facts about its data set; unchanged if the data set is built in."""
        return self if self.dataset.name in DATASETS else self.model_copy(update={"dataset_info": info})

    def of_repeat(self, seed: int) -> "Setting":
        """Return the setting of the repeat with a seed, which is this one: only a study may vary its repeats."""
        return self

    @property
    def setting(self) -> "Setting":
        """Only the fields of ``Setting``, without those that a study adds."""
        return Setting.model_validate({name: getattr(self, name) for name in Setting.model_fields})


class Study(Setting):
    """A question: which strategy finds the temperature for this teacher, student and data set?

    Attributes:
        name: Name of the study and of its folder under ``results/``; by default the stem of the file.
        description: One line for listings.
        attribution: ``dedicated`` charges the idle power of the node to the study, ``shared`` does not.
        loss: The loss, by name or reference.
        alpha: Weight of the distillation term; by default that of the loss.
        search_space: Values from which strategies choose.
        repeats: Number of times that each strategy runs, with seeds ``seed``, ``seed + 1``, ...
        seed: Seed of the first repeat.
        vary: What differs between repeats besides the seeds of the trainings. Repeat ``i`` uses ``split_seed + i`` for
            ``split`` and ``teacher_seed + i`` for ``teacher``. Another split needs another teacher too, since the one
            of the first split was trained on images that this split holds out.
        margin: Differences of the objective smaller than this, on the test images, do not matter; in its unit. It is
            fixed with the study, since a margin that is chosen after the results can confirm anything.
        strategies: The strategies that ``--strategy all`` runs: options by label, with the name of the strategy as
            ``strategy`` if it differs from the label; see :meth:`labelled`.
    """

    name: str
    description: str = ""
    attribution: Literal["dedicated", "shared"] = "dedicated"
    loss: StudyComponent
    alpha: float = Field(ge=0.0, le=1.0)
    search_space: SearchSpace
    repeats: int = Field(default=3, ge=1, le=10_000, strict=True)
    seed: int = Field(default=0, ge=0, lt=2**31, strict=True)
    vary: tuple[Source, ...] = ()
    margin: float = Field(default=DEFAULT_MARGIN, gt=0.0, le=1e12)
    strategies: dict[str, dict[str, Any]]

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if _NAME.fullmatch(name):
            return name
        raise ValueError(
            "names the folder of the results and is that of the file unless given, so it has to consist of at most 100 "
            "letters, digits, '.', '_' and '-' and to begin with a letter or digit; rename the file, or give a name"
        )

    @field_validator("margin")
    @classmethod
    def _is_a_fraction_of_built_in_metrics(cls, margin: float, info: ValidationInfo) -> float:
        task = info.data.get("task")
        if margin >= 1 and (task is None or task.name in TASKS):
            raise ValueError(
                f"is a fraction, like accuracies, so it has to be less than 1; half a point is {DEFAULT_MARGIN}"
            )
        return margin

    @field_validator("vary")
    @classmethod
    def _once_and_in_order(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(source for source in get_args(Source) if source in sources)

    @model_validator(mode="before")
    @classmethod
    def _default_alpha(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "alpha" in values or "loss" not in values:
            return values
        if values.get("synthesis") is not None:  # there are no labels that could have a weight
            return {**values, "alpha": 1.0}
        return {**values, "alpha": LOSSES.facts_of(_name_in(values["loss"])).get("default_alpha", DEFAULT_ALPHA)}

    def settled_as(self, other: "Study") -> "Study":
        """Return the study with open settings resolved as in another study, which has run."""
        logits = other.teacher_logits if self.teacher_logits == "auto" else self.teacher_logits
        return self.model_copy(update={"numerics": self.numerics.resolved(other.numerics), "teacher_logits": logits})

    def labelled(self, label: str) -> tuple[str, dict[str, Any]]:
        """Return the name and the options of the strategy that a label refers to.

        A label that the study does not list is the name of a strategy without options.
        """
        options = dict(self.strategies.get(label, {}))
        return str(options.pop("strategy", label)), options

    @property
    def is_dedicated(self) -> bool:
        """Whether the idle power of the node is charged to the study."""
        return self.attribution == "dedicated"

    def of_repeat(self, seed: int) -> "Study":
        """Return the study as the repeat with a seed trains it, with the split and the teacher of that repeat."""
        if not self.vary:
            return self
        seeds = {f"{source}_seed": getattr(self, f"{source}_seed") + seed - self.seed for source in self.vary}
        return self.model_copy(update={**seeds, "vary": ()})

    def seeds(self) -> list[int]:
        """Return the seed of each repeat, in order."""
        return [self.seed + repeat for repeat in range(self.repeats)]
