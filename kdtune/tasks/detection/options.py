"""Options of the task of detection: the weights of the parts of its loss."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kdtune.specs.task_options import TaskOptions

if TYPE_CHECKING:
    from kdtune.specs.study import Study

Weight = Annotated[float, Field(ge=0.0, le=1e6)]

#: Weights of the implementation that the paper's authors name (Chen et al., NeurIPS 2017, branch mbv2-lite).
PAPER_WEIGHTS = {"bounded_weight": 0.5, "margin": 0.0, "background_weight": 1.5, "hint_weight": 0.5}

#: Weight of the distillation term in the same implementation.
PAPER_ALPHA = 0.5


class Options(TaskOptions):
    """Weights of the parts of the loss; see :mod:`kdtune.tasks.detection.loss`.

    Attributes:
        protocol: ``paper`` takes the weights of the implementation that the paper's authors name and accepts no
            others.
        box_weight: Weight of the smooth L1 loss of the offsets.
        bounded_weight: Weight of the teacher-bounded loss of the offsets; 0 for none.
        margin: Margin by which the student has to be better than the teacher for that loss to be 0.
        background_weight: Weight of background among the anchors of the distillation term. With another weight than 1,
            the distillation term is not least where the student equals the teacher.
        hint_weight: Weight of the mean squared difference of all logits, which knows no temperature; 0 for none.
    """

    OF_TEACHER: ClassVar[frozenset[str]] = frozenset({"box_weight"})

    protocol: Literal["paper"] | None = None
    box_weight: Weight = 1.0
    bounded_weight: Weight = 0.0
    margin: Weight = 0.0
    background_weight: Weight = 1.0
    hint_weight: Weight = 0.0

    @model_validator(mode="before")
    @classmethod
    def _weights_of_the_protocol(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("protocol") != "paper":
            return values
        if given := [key for key in ("box_weight", *PAPER_WEIGHTS) if key in values]:
            raise ValueError(f'protocol = "paper" sets all weights; remove {", ".join(given)}')
        return {**values, **PAPER_WEIGHTS}

    @model_validator(mode="after")
    def _margin_has_an_effect(self) -> Self:
        if self.margin and not self.bounded_weight:
            raise ValueError("margin has no effect without bounded_weight; give bounded_weight, or remove margin")
        return self

    def problems(self, study: "Study") -> dict[str, str]:
        """Return what differs from the protocol."""
        if self.protocol == "paper" and study.alpha != PAPER_ALPHA:
            problem = f'is {study.alpha:g}, but protocol = "paper" of detection weighs both terms alike'
            return {"alpha": f"{problem}; write alpha = {PAPER_ALPHA:g}"}
        return {}
