"""What an epoch of a training came to."""

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch came to.

    Attributes:
        epoch: Epochs done, this one included.
        train_loss: Mean of the steps' losses, in the loss's own unit.
        val_loss: Mean loss with the labels on the validation images; of classifiers in nats.
        val_accuracy: Fraction of validation images classified rightly; None where the task has no accuracy.
        tau: Mean temperature of the epoch, by which the student's logits are divided; None without a teacher.
        learning_rate: Learning rate of the epoch's last step.
        val_objective: Metric that decides the study, on the validation images; None if that is the accuracy.
        tau_p05: The 5th percentile of the student's temperatures in the epoch, over its images if each has its own,
            otherwise over its steps; None if all are equal. So are the next two.
        tau_median: Their median.
        tau_p95: Their 95th percentile.
        tau_by_class: Their mean for each class, None for a class without images; None unless each image has a
            temperature of its own.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_accuracy: float | None
    tau: float | None
    learning_rate: float
    val_objective: float | None = None
    tau_p05: float | None = None
    tau_median: float | None = None
    tau_p95: float | None = None
    tau_by_class: tuple[float | None, ...] | None = None

    def as_report(self) -> dict[str, Any]:
        """The fields by name, without those at the end that are None."""
        optional = {field.name for field in fields(self) if field.default is None}
        return {name: value for name, value in asdict(self).items() if value is not None or name not in optional}
