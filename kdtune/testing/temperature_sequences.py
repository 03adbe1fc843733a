"""What the conformance suite of temperatures requires of the sequence of their values: seeds, generators and states."""

from pathlib import Path

import pytest
import torch

from kdtune.specs.component import Component
from kdtune.testing.temperature_calls import LOGITS, STEPS, called, epoch_of, made, values


class TemperatureSequences:
    """Tests that are a part of the suite of temperatures, which defines the fixture ``temperature``."""

    def test_the_same_seed_gives_the_same(self, temperature: Component) -> None:
        """Two trainings with one seed have the same temperatures."""
        first, second = made(temperature, seed=5), made(temperature, seed=5)
        for epoch in range(3):
            assert values(epoch_of(first, epoch)) == values(epoch_of(second, epoch)), (
                f"epoch {epoch} differs between two trainings with the same seed; draw from a generator of your own "
                "that is seeded with context.seed"
            )

    def test_draws_depend_on_nothing_that_ran_before(self, temperature: Component) -> None:
        """Torch's global generator has no influence on tau."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            first = values(epoch_of(made(temperature, seed=5)))
            torch.manual_seed(2)
            torch.rand(10)
            again = values(epoch_of(made(temperature, seed=5)))
        assert again == first, "tau depends on torch's global generator; draw from a generator of your own"

    def test_torchs_own_generator_is_never_moved(self, temperature: Component) -> None:
        """Other random numbers of the training do not depend on the temperature."""
        before = torch.get_rng_state()
        policy = made(temperature)
        epoch_of(policy)
        policy.load_state_dict(policy.state_dict())
        epoch_of(policy, 1)
        assert torch.equal(torch.get_rng_state(), before), (
            "the temperature draws from torch's global generator; draw from a generator of your own"
        )

    @pytest.mark.parametrize("done", [0, 1, 3])
    def test_a_resumed_policy_goes_on_with_the_exact_sequence(
        self, temperature: Component, done: int, tmp_path: Path
    ) -> None:
        """After an interruption between two epochs, all values equal those of an undisturbed training to the bit."""
        undisturbed, interrupted = made(temperature), made(temperature)
        for epoch in range(done):
            epoch_of(undisturbed, epoch)
            epoch_of(interrupted, epoch)
        torch.save(interrupted.state_dict(), tmp_path / "state.pt")
        resumed = made(temperature, seed=99)
        resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        for epoch in range(done, done + 3):
            assert values(epoch_of(resumed, epoch)) == values(epoch_of(undisturbed, epoch)), (
                f"after a resumption at epoch {done}, epoch {epoch} differs; everything that later epochs depend on, "
                "such as the state of a generator, belongs into state_dict() and load_state_dict()"
            )

    def test_saving_and_restoring_within_an_epoch_changes_nothing(self, temperature: Component) -> None:
        """Neither state_dict nor load_state_dict disturbs the epoch that is running."""
        undisturbed, restored = made(temperature), made(temperature)
        expected = values([*epoch_of(undisturbed), *epoch_of(undisturbed, 1)])
        restored.begin_epoch(0, STEPS)
        found = [called(restored, *LOGITS, step) for step in range(STEPS // 2)]
        restored.load_state_dict(restored.state_dict())
        found += [called(restored, *LOGITS, step) for step in range(STEPS // 2, STEPS)]
        assert values([*found, *epoch_of(restored, 1)]) == expected, (
            "after state_dict() and load_state_dict() in the middle of an epoch, later values differ"
        )

    def test_a_state_that_was_taken_does_not_move_with_the_policy(self, temperature: Component) -> None:
        """A state is a copy, so that a checkpoint may be written while the training goes on."""
        policy = made(temperature)
        state = policy.state_dict()
        first = values(epoch_of(policy))
        again = made(temperature, seed=99)
        again.load_state_dict(state)
        assert values(epoch_of(again)) == first, (
            "a state changes after it was returned by state_dict(); return copies of tensors"
        )
