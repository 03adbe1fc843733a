import torch

from kdtune.artifacts import study_networks
from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs import load_study
from kdtune.specs.component import Component
from tests.studies import small_study


def context_of(**changes):
    return TrainingContext(load_study(small_study(**changes)), torch.device("cpu"), threads=1)


def test_operations_of_a_built_in_network_are_counted_once_for_each_of_its_sizes(monkeypatch):
    counted = []
    count = study_networks.count_operations
    monkeypatch.setattr(study_networks, "count_operations", lambda *given: counted.append(given) or count(*given))
    monkeypatch.setattr(study_networks, "_COUNTED", {})
    small, large = Component(name="convnet_2_4_4"), Component(name="convnet_32")
    of_digits = [context_of().macs(one) for one in (small, large)]
    assert [context_of(loss="ce").macs(one) for one in (small, large)] == of_digits and len(counted) == 2
    monkeypatch.setattr(TrainingContext, "image_shape", (3, 8, 8))
    assert context_of().macs(small) > of_digits[0] and len(counted) == 3
