import gc
from itertools import islice

import pytest
import torch

from kdtune.forecast.graph_check import TOLERANCE, loss_difference
from kdtune.specs.numerics import Numerics
from kdtune.training.checkpoints import CheckpointFolder
from tests.gpu.conftest import BFLOAT16, FLOAT32
from tests.recipes import recipe_of

pytestmark = pytest.mark.gpu

STOCHASTIC = {"temperature": "stochastic"}
AUGMENT = {"epochs": 3, "batch_size": 32, "learning_rate": 0.05, "augment": ("crop", "flip", "rotate")}

every_way = pytest.mark.parametrize("compile", ["off", "on", "graph", "compiled_graph"])
every_mode = pytest.mark.parametrize("mode", ["live", "replay"])


def training(context, point=STOCHASTIC, seed=0):
    recipe = recipe_of(context.study, point)
    torch.manual_seed(1)  # of the untrained teacher
    return context.training(recipe, seed, context.untrained_teacher_logits())


@every_mode
@pytest.mark.parametrize("compile", ["off", "graph"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_is_resumed_from_a_checkpoint(context, device, mode, compile, optimizer, tmp_path):
    own = context(compile, mode=mode, training={**AUGMENT, "optimizer": optimizer})
    checkpoints = CheckpointFolder(tmp_path)
    whole = training(own)
    whole.train_epoch()
    checkpoints.save(whole.state_dict())
    expected = [whole.train_epoch() for _ in range(2)]
    resumed = training(own)
    resumed.load_state_dict(checkpoints.load_latest(device))
    assert resumed.epoch == 1
    for before, after in zip(expected, [resumed.train_epoch() for _ in range(2)], strict=True):
        assert after.tau == before.tau and after.learning_rate == before.learning_rate
        assert after.train_loss == pytest.approx(before.train_loss, rel=TOLERANCE["float32"])


@every_mode
@every_way
def test_no_step_of_an_epoch_waits_for_the_gpu(context, mode, compile):
    own = context(compile, mode=mode, training=AUGMENT)
    training(own).warm_up()
    distiller = training(own)
    list(distiller.steps())
    distiller.epoch = 1
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = list(distiller.steps())
    finally:
        torch.cuda.set_sync_debug_mode(before)
    assert torch.isfinite(torch.stack(losses)).all()


@every_mode
@pytest.mark.parametrize("compile", ["graph", "compiled_graph"])
@pytest.mark.parametrize("arithmetic", [FLOAT32, BFLOAT16], ids=["float32", "bfloat16"])
def test_fifty_captured_steps_have_the_eager_losses(context, mode, compile, arithmetic):
    own = context(compile, arithmetic, mode, training=AUGMENT)
    way = Numerics(**arithmetic, compile=compile)
    # Two and a half times as many steps as the probe compares: rounding has as much longer to grow.
    assert loss_difference(own, way, steps=50) <= 2.5 * TOLERANCE[arithmetic["precision"]]


def test_the_compiler_skips_no_cuda_graph(context):
    from torch._dynamo.utils import counters

    counters.clear()
    own = context("on", BFLOAT16)
    training(own).warm_up()
    list(islice(training(own).steps(), 5))
    assert counters["inductor"]["cudagraph_skips"] == 0


@every_mode
@every_way
def test_memory_is_constant_over_twenty_trials(context, mode, compile):
    own = context(compile, mode=mode, training=AUGMENT)
    used = []
    for seed in range(20):
        distiller = training(own, {"tau": 2.0 + seed}, seed)
        if seed == 0:
            distiller.warm_up()
            distiller = training(own, {"tau": 2.0}, seed)
        distiller.train_epoch()
        del distiller
        gc.collect()
        torch.cuda.synchronize()
        used.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    assert used[-1] == used[2]
