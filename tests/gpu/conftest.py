import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs import load_study
from tests.studies import small_study

FLOAT32 = {"precision": "float32", "memory_layout": "contiguous"}
BFLOAT16 = {"precision": "bfloat16", "memory_layout": "channels_last"}


@pytest.fixture(autouse=True)
def needs_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA GPU")


@pytest.fixture
def device():
    return torch.device("cuda", 0)


@pytest.fixture
def context(device):
    """Makes a training context on the GPU for the digits study, whose last batch is smaller than the others."""

    def make(compile="off", arithmetic=FLOAT32, mode="live", **changes):
        numerics = {**arithmetic, "compile": compile}
        return TrainingContext(load_study(small_study(numerics=numerics, teacher_logits=mode, **changes)), device, 1)

    return make
