"""A user's own class of losses, named by reference."""

import pytest
import torch

from kdtune.errors import UsageError
from kdtune.methods.base import MethodLoss, Options
from kdtune.methods.loading import loss_of
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.specs.component import Component
from kdtune.temperature.base import Temperature


class Halved(MethodLoss):
    """Half the powers of the differences of the logits."""

    class Options(Options):
        power: float = 1.0

    def __init__(self, options):
        super().__init__(options)
        self._power = options.power

    def of_pairs(self, student_logits, teacher_logits, temperature, progress):
        return 0.5 * (student_logits - teacher_logits).abs().pow(self._power).sum(dim=1)


def halved(**options):
    return loss_of(Component(name=f"{__name__}:Halved", options={"alpha": 1.0, **options}))


def test_it_is_used_by_reference_with_its_options():
    student, teacher, labels = torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([0])
    pairs, temperature = SoftPairs(student, teacher, labels, None), Temperature.same(torch.tensor(4.0))
    found = halved(power=2.0)(pairs, lambda: torch.nn.functional.cross_entropy(student, labels), temperature, 1.0)
    assert found.item() == 2.5
    with pytest.raises(UsageError, match="Halved.*option power"):
        halved(power="high")
