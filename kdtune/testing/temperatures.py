"""What every temperature has to satisfy.

A test module of one's own has a class that names the temperature, and inherits all tests::

    from kdtune.testing.temperatures import TemperatureConformance


    class TestMine(TemperatureConformance):
        component = {"ref": "my_package.my_module:Mine", "sure": 6}

Several sets of options are tested with a fixture::

    class TestMine(TemperatureConformance):
        @pytest.fixture(params=examples("my_package.my_module:Mine"), ids=str)
        def temperature(self, request):
            return request.param
"""

import json

import pytest
import torch
from pydantic import BaseModel, ValidationError

from kdtune.catalog.builtin import TEMPERATURES
from kdtune.methods.losses import hkd
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.temperature.base import Temperature, TemperaturePolicy
from kdtune.testing.component_under_test import ComponentConformance
from kdtune.testing.gradients import check_gradient, leaves
from kdtune.testing.logits import BATCH, CASES, labels_of, normal
from kdtune.testing.temperature_calls import (
    EPOCHS,
    LOGITS,
    SPACE,
    STEPS,
    called,
    check_shapes,
    check_values,
    epoch_of,
    made,
    resolved_options,
    values,
)
from kdtune.testing.temperature_sequences import TemperatureSequences
from kdtune.testing.trainings import TrainingConformance


def examples(reference: str) -> list[Component]:
    """Return a temperature with each set of options that the JSON schema of its ``Options`` names as an example.

    Args:
        reference: Name or reference of the temperature.

    Returns:
        The temperature without options if there are no examples.
    """
    schema = TEMPERATURES.load(reference).Options.model_json_schema()
    return [Component(name=reference, options=options) for options in schema.get("examples", [{}])]


class TemperatureConformance(TemperatureSequences, TrainingConformance, ComponentConformance):
    """Tests of one temperature; a subclass has the attribute ``component`` or the fixture ``temperature``."""

    @pytest.fixture
    def temperature(self) -> Component:
        """The temperature by reference, with its options."""
        return self.named("temperature")

    @pytest.fixture
    def suggestion(self, temperature: Component) -> Suggestion:
        """A training under the temperature."""
        return Suggestion(temperature=temperature)

    def test_it_follows_the_protocol(self, temperature: Component) -> None:
        """A temperature is a class derived from the base class, with a model of its options."""
        kind = TEMPERATURES.load(temperature.name)
        assert isinstance(kind, type) and issubclass(kind, TemperaturePolicy), (
            f"{temperature.name} has to be a class derived from kdtune.temperature.base.TemperaturePolicy, not {kind}"
        )
        options = getattr(kind, "Options", None)
        assert isinstance(options, type) and issubclass(options, BaseModel), (
            f"{temperature.name}.Options has to be a pydantic model of the options, but is {options}"
        )

    def test_options_survive_json(self, temperature: Component) -> None:
        """Resolved options are written to JSON and read again without a change, and are not resolved a second time."""
        kind, resolved = resolved_options(temperature)
        again = kind.Options.model_validate(json.loads(resolved.model_dump_json(exclude_none=True)))
        assert again == resolved, f"options change when they are written to JSON and read again: {resolved}, {again}"
        twice = kind.resolved(again, SPACE)
        assert twice == resolved, f"resolved() has to leave resolved options as they are: {resolved}, {twice}"

    def test_an_unknown_option_is_refused(self, temperature: Component) -> None:
        """A misspelt option is an error, not ignored."""
        kind = TEMPERATURES.load(temperature.name)
        try:
            kind.Options.model_validate({**temperature.options, "no_such_option": 1})
        except ValidationError:
            return
        pytest.fail("Options accepts an unknown option; derive it from kdtune.specs.frozen_model.FrozenModel")

    def test_tau_is_a_tensor_for_the_batch_or_for_each_image(self, temperature: Component) -> None:
        """Tau is 0-d or (batch, 1), and the weight 0-d or (batch,), also in a last batch that is smaller."""
        policy = made(temperature)
        policy.begin_epoch(0, 2)
        for step, images in enumerate((BATCH, BATCH - 1)):
            check_shapes(called(policy, LOGITS[0][:images], LOGITS[1][:images], step), images)

    def test_tau_is_finite_and_positive_in_every_epoch(self, temperature: Component) -> None:
        """Tau is finite and above 0, the weight finite and not negative, in every epoch, also in a training of one."""
        for epochs in (EPOCHS, 1):
            policy = made(temperature, epochs=epochs)
            for epoch in range(epochs):
                for step, found in enumerate(epoch_of(policy, epoch)):
                    check_values(found, f"epoch {epoch} of {epochs}, step {step}")

    @pytest.mark.parametrize("case", CASES)
    def test_it_is_sound_for_unusual_logits(self, temperature: Component, case: str) -> None:
        """Tau, and the loss and its gradient under it, are finite whatever the logits."""
        student, teacher = CASES[case]()
        student.requires_grad_()
        policy = made(temperature, batch_size=len(student))
        policy.begin_epoch(0, 1)
        found = called(policy, student, teacher, 0)
        check_shapes(found, len(student))
        check_values(found, case)
        loss = hkd(student, teacher, labels_of(student), found, 0.9)
        assert loss.isfinite(), f"{case}: the loss hkd is {loss.item()}"
        loss.backward()
        assert student.grad is not None and student.grad.isfinite().all(), (
            f"{case}: the gradient of the loss hkd with respect to the student's logits is not finite"
        )

    def test_the_weight_is_tau_squared_unless_the_policy_declares_another(self, temperature: Component) -> None:
        """The weight is the product of both temperatures, so that the size of the gradient does not depend on tau."""
        policy = made(temperature)
        for found in epoch_of(policy):
            square = found.student * found.teacher
            square = square.squeeze(-1) if square.dim() else square
            assert torch.equal(found.weight, square) or not policy.weight_is_tau_squared, (
                f"the weight has to be the product of both temperatures, {square}, but is {found.weight}; declare "
                "weight_is_tau_squared = False if the method has another one"
            )

    def test_epochs_may_differ_in_length(self, temperature: Component) -> None:
        """The number of steps is that of each epoch."""
        policy = made(temperature)
        for epoch, steps in enumerate((3, 50)):
            for found in epoch_of(policy, epoch, steps):
                check_shapes(found, BATCH)

    def test_the_epochs_tau_is_the_mean_over_its_steps(self, temperature: Component) -> None:
        """The logged tau is the mean of the student's over all steps, or None where that is not defined."""
        policy = made(temperature)
        for epoch in range(2):
            drawn = [found.student.mean().item() for found in epoch_of(policy, epoch)]
            logged = policy.epoch_tau()
            assert logged is None or logged == pytest.approx(sum(drawn) / STEPS, rel=1e-6), (
                f"epoch_tau() has to return the mean of the student's tau, {sum(drawn) / STEPS}, but returned {logged}"
            )

    def test_scheduled_values_equal_those_of_calls(self, temperature: Component) -> None:
        """A captured step, which reads values scheduled when the epoch begins, computes what an eager one does."""
        eager, captured = made(temperature), made(temperature)
        if eager.depends_on_logits:
            pytest.skip("tau depends on the logits, so its steps are not captured")
        sizes = [BATCH, BATCH, BATCH - 1]
        for epoch in range(EPOCHS):
            eager.begin_epoch(epoch, len(sizes))
            captured.begin_epoch(epoch, len(sizes))
            table = captured.scheduled(sizes)
            # The order of steps does not matter: a schedule is a function of seed, epoch and step.
            for step in reversed(range(len(sizes))):
                size = sizes[step]
                expected = called(eager, LOGITS[0][:size], LOGITS[1][:size], step)
                found = table.at(torch.tensor([step]), size)
                assert values([found]) == values([expected]), (
                    f"epoch {epoch}, step {step}: scheduled() gives {found}, but a call gives {expected}"
                )
            logged = eager.epoch_tau(), captured.epoch_tau()
            assert logged[0] == pytest.approx(logged[1]), f"epoch_tau() after calls and after scheduled(): {logged}"

    def test_gradients_flow_to_the_students_logits_alone(self, temperature: Component) -> None:
        """Tau has no gradient, or one with respect to the student's logits or to learned parameters alone."""
        student, teacher = (logits.clone() for logits in LOGITS)
        student.requires_grad_()
        policy = made(temperature)
        policy.begin_epoch(0, 1)
        found = called(policy, student, teacher, 0)
        for leaf in leaves(found.student, found.teacher, found.weight):
            assert any(leaf is one for one in (student, *policy.parameters())), (
                f"tau has a gradient with respect to a tensor of shape {tuple(leaf.shape)} that is not the student's "
                "logits, and that nothing trains; detach it, or return it from parameters()"
            )

    def test_the_gradient_of_the_loss_is_the_numerical_one(self, temperature: Component) -> None:
        """In float64, the gradient of the loss under tau equals finite differences."""
        student, teacher = (normal(3, 4, seed).double() for seed in (0, 1))
        student.requires_grad_()

        def tau(logits: torch.Tensor) -> Temperature:
            policy = made(temperature)
            policy.begin_epoch(0, 1)
            return called(policy, logits, teacher, 0)

        constant = tau(student)
        flows = any(leaf is student for leaf in leaves(constant.student, constant.teacher, constant.weight))
        assert not flows or constant.student.dtype == torch.float64, (
            "tau has a gradient, but is rounded to float32; compute it in the precision of the logits, at least float32"
        )

        def loss(logits: torch.Tensor) -> torch.Tensor:
            return hkd(logits, teacher, labels_of(logits), tau(logits) if flows else constant, 0.9)

        check_gradient(loss, student)

    def test_no_step_waits_for_the_device(self, temperature: Component) -> None:
        """Within an epoch, no value is read from the device: that would stop the queue of a GPU at every step.

        On the ``meta`` device, tensors have no values, so that ``item()``, ``tolist()`` and ``if tensor`` fail.
        """
        policy = made(temperature, device=torch.device("meta"))
        try:
            policy.begin_epoch(0, 2)
            if not policy.depends_on_logits:
                policy.scheduled([BATCH, BATCH]).at(torch.zeros(1, dtype=torch.int64, device="meta"), BATCH)
            for step in range(2):
                called(policy, LOGITS[0].to("meta"), LOGITS[1].to("meta"), step)
        except (RuntimeError, NotImplementedError) as error:
            pytest.fail(
                "a step reads a value from the device, or uses a tensor that is not on context.device; replace item(), "
                f"tolist(), float(tensor) and 'if tensor' by tensor operations: {error}"
            )
