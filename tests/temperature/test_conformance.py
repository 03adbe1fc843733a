"""What every temperature policy keeps to, whatever its name."""

import json
import subprocess
import sys

import pytest
import torch

from kdtune.catalog.builtin import TEMPERATURES
from kdtune.specs import SearchSpace
from kdtune.temperature.base import PolicyContext, TemperaturePolicy

CPU = torch.device("cpu")
STEPS, EPOCHS = 12, 5
LOGITS = torch.arange(20.0).reshape(4, 5), torch.arange(20.0).flip(0).reshape(4, 5)

SPACE = SearchSpace.model_validate({"tau": {"low": 2, "high": 20, "step": 1}})

#: The examples that each policy names with its options.
EXAMPLES = [
    pytest.param((name, example), id=f"{name} {example}")
    for name in TEMPERATURES
    for example in TEMPERATURES.load(name).Options.model_json_schema()["examples"]
]

every_policy = pytest.mark.parametrize("name", EXAMPLES)


def make(example, seed=0):
    name, options = example
    kind = TEMPERATURES.load(name)
    resolved = kind.resolved(kind.Options.model_validate(options), SPACE)
    again = kind.Options.model_validate(json.loads(resolved.model_dump_json(exclude_none=True)))
    assert again == resolved == kind.resolved(again, SPACE)
    return kind(resolved, PolicyContext(seed, CPU, EPOCHS, len(LOGITS[0])))


def test_every_policy_names_examples():
    assert {example.values[0][0] for example in EXAMPLES} == set(TEMPERATURES)


def test_options_are_validated_without_torch():
    code = (
        "import sys; from kdtune.catalog.builtin import TEMPERATURES as table;"
        "[table.load(name).Options for name in table];"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def epoch_of(policy, epoch=0, steps=STEPS):
    """The temperatures of one epoch."""
    policy.begin_epoch(epoch, steps)
    return [policy.of_step(*LOGITS, torch.tensor([0, 1, 2, 4]), step) for step in range(steps)]


def taus(temperatures):
    return [(t.student.tolist(), t.teacher.tolist(), t.weight.tolist()) for t in temperatures]


@every_policy
def test_it_follows_the_protocol(name):
    assert isinstance(make(name), TemperaturePolicy)


@every_policy
def test_tau_is_a_tensor_for_the_batch_or_for_each_image(name):
    batch = len(LOGITS[0])
    for temperature in epoch_of(make(name)):
        assert temperature.student.shape in [(), (batch, 1)]
        assert temperature.teacher.shape in [(), (batch, 1)]
        assert temperature.weight.shape in [(), (batch,)]


@every_policy
def test_tau_is_a_finite_float32_greater_than_zero(name):
    for temperature in epoch_of(make(name)):
        for tau in (temperature.student, temperature.teacher):
            assert tau.dtype == torch.float32
            assert bool((torch.isfinite(tau) & (tau > 0)).all())


@every_policy
def test_the_weight_is_finite_and_tau_squared_unless_the_policy_declares_another(name):
    policy = make(name)
    for temperature in epoch_of(policy):
        assert bool((torch.isfinite(temperature.weight) & (temperature.weight >= 0)).all())
        square = temperature.student * temperature.teacher
        square = square.squeeze(-1) if square.dim() else square
        assert torch.equal(temperature.weight, square) or not policy.weight_is_tau_squared


@every_policy
def test_the_same_seed_draws_the_same(name):
    first, second = make(name, seed=5), make(name, seed=5)
    for epoch in range(3):
        assert taus(epoch_of(first, epoch)) == taus(epoch_of(second, epoch))


@every_policy
def test_draws_depend_on_nothing_that_ran_before(name):
    torch.manual_seed(1)
    first = taus(epoch_of(make(name, seed=5)))
    torch.manual_seed(2)
    torch.rand(10)
    assert taus(epoch_of(make(name, seed=5))) == first


@every_policy
def test_torchs_own_generator_is_never_moved(name):
    before = torch.get_rng_state()
    policy = make(name)
    epoch_of(policy)
    policy.load_state_dict(policy.state_dict())
    epoch_of(policy)
    assert torch.equal(torch.get_rng_state(), before)


@every_policy
@pytest.mark.parametrize("done", [0, 1, 3])
def test_a_resumed_policy_goes_on_with_the_exact_sequence(name, done, tmp_path):
    undisturbed, interrupted = make(name), make(name)
    for epoch in range(done):
        epoch_of(undisturbed, epoch)
        epoch_of(interrupted, epoch)
    torch.save(interrupted.state_dict(), tmp_path / "state.pt")
    resumed = make(name, seed=99)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for epoch in range(done, done + 3):
        assert taus(epoch_of(resumed, epoch)) == taus(epoch_of(undisturbed, epoch))


@every_policy
def test_a_state_that_was_taken_does_not_move_with_the_policy(name):
    policy = make(name)
    state = policy.state_dict()
    first = taus(epoch_of(policy))
    again = make(name, seed=99)
    again.load_state_dict(state)
    assert taus(epoch_of(again)) == first


@every_policy
def test_epochs_may_differ_in_length(name):
    policy = make(name)
    assert len(epoch_of(policy, 0, steps=3)) == 3
    assert len(epoch_of(policy, 1, steps=50)) == 50


@every_policy
def test_the_epochs_tau_is_the_mean_over_its_steps(name):
    policy = make(name)
    for epoch in range(2):
        drawn = [temperature.student.mean().item() for temperature in epoch_of(policy, epoch)]
        assert policy.epoch_tau() == pytest.approx(sum(drawn) / STEPS, rel=1e-6)
