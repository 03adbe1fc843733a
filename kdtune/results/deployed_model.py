"""The form in which a chosen model is used, if that is not the float network itself."""

from dataclasses import dataclass

from kdtune.storage.field_types import Accuracy, Count
from kdtune.storage.records import strict


@strict
@dataclass(frozen=True)
class DeployedModel:
    """A chosen model with integers for weights and activations. The test metrics of its repeat are those of this form.

    Attributes:
        bits: Bits of a weight.
        size_bytes: Size of all tensors that the model reads.
        float_size_bytes: The same of the float student that was quantised.
        float_accuracy: Test accuracy of that float student, as a fraction.
        simulated_accuracy: Test accuracy with simulated rounding, before the conversion; None if it was not simulated.
    """

    bits: Count
    size_bytes: Count
    float_size_bytes: Count
    float_accuracy: Accuracy | None
    simulated_accuracy: Accuracy | None
