import torch

from kdtune.temperature.base import Temperature


def test_one_tau_serves_both_networks_and_is_weighed_by_its_square():
    same = Temperature.same(torch.tensor(3.0))
    assert (same.student, same.teacher, same.weight) == (3.0, 3.0, 9.0)


def test_one_tau_an_image_is_weighed_image_by_image():
    # A weight of (batch, 1) would spread a loss of (batch,) over (batch, batch), silently.
    same = Temperature.same(torch.tensor([[2.0], [3.0]]))
    assert same.weight.tolist() == [4.0, 9.0]
