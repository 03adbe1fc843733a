"""The form in which a chosen model is used, if that is not the float network itself."""

from dataclasses import dataclass, field

from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.storage.field_types import Accuracy, Amount, Count
from kdtune.storage.records import LEFT_OUT_IF_NONE, strict


@strict
@dataclass(frozen=True)
class DeployedModel:
    """A chosen model with integers for weights and activations. The test metrics of its repeat are those of this form.

    Attributes:
        bits: Bits of a weight.
        size_bytes: Size of all tensors that the model reads.
        float_size_bytes: The same of the float student that was quantised.
        float_accuracy: Test accuracy of that float student, as a fraction; None where the task has none.
        simulated_accuracy: Test accuracy with simulated rounding, before the conversion; None if it was not simulated.
        float_objective, simulated_objective: The same of the study's objective; None if that is the accuracy.
    """

    bits: Count
    size_bytes: Count
    float_size_bytes: Count
    float_accuracy: Accuracy | None
    simulated_accuracy: Accuracy | None
    float_objective: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    simulated_objective: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    def of_float(self, metric: Metric) -> float | None:
        """Return a metric of the float student: the accuracy or the study's objective."""
        return self.float_accuracy if metric.name == ACCURACY else self.float_objective

    def simulated(self, metric: Metric) -> float | None:
        """Return the same with simulated rounding; None if it was not simulated."""
        return self.simulated_accuracy if metric.name == ACCURACY else self.simulated_objective


@strict
@dataclass(frozen=True)
class Latency:
    """Mean time of a batch in compiled networks, as ``kdtune inference`` measured it.

    Attributes:
        float_ms: Time of the float student, in milliseconds.
        int8_ms: Time of the int8 student; None for a strategy whose model is float.
        batch_size: Images in a batch.
        threads: Number of CPU threads.
    """

    float_ms: Amount
    int8_ms: Amount | None
    batch_size: Count
    threads: Count
