"""What every network has to satisfy.

A test module of one's own has a class that names the network, and inherits all tests::

    from kdtune.testing.networks import NetworkConformance


    class TestMine(NetworkConformance):
        component = {"ref": "my_package.my_module:Mine", "width": 8}
        image_shape = (1, 28, 28)
"""

import io
from typing import ClassVar

import pytest
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from kdtune.catalog.builtin import DEFAULT_TASK, TASKS
from kdtune.energy.operation_counts import count_operations
from kdtune.models.building import build_network
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.tasks.task import Task
from kdtune.testing.component_under_test import ComponentConformance

#: Images in a batch.
IMAGES = 4

#: The network of the last test in evaluation mode, and what it belongs to; tests that only read it share it.
_last_evaluated: list[tuple[type, Component, torch.nn.Module]] = []


class NetworkConformance(ComponentConformance):
    """Tests of one network; a subclass has the attribute ``component`` or the fixture ``network``.

    Attributes:
        task: Built-in task that the network is for.
        image_shape: Channels, height and width of an image.
        num_classes: Number of logits per image.
        unused: Names of parameters that are meant to have no gradient.
        uncounted: Names of costly operators that fvcore cannot count, such as ``fft_fft2``, and that are counted as 0.
    """

    task: ClassVar[str] = DEFAULT_TASK
    image_shape: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    num_classes: ClassVar[int] = 10
    unused: ClassVar[tuple[str, ...]] = ()
    uncounted: ClassVar[tuple[str, ...]] = ()

    @pytest.fixture
    def network(self) -> Component:
        """The network by reference, with its options."""
        return self.named("network")

    def test_it_returns_logits(self, network: Component) -> None:
        """In both modes, the output is finite and as the task wants it: logits of shape (batch, num_classes)."""
        task: type[Task] = TASKS.load(self.task)
        for classes in (self.num_classes, self.num_classes + 1):
            info = DataInfo(classes=classes, shape=self.image_shape, train_images=9, test_images=9)
            task.check_network(network, info)

    def test_the_seed_decides_the_weights(self, network: Component) -> None:
        """Initial weights depend on torch's global seed alone."""
        one, same, other = (self._built(network, seed).state_dict() for seed in (0, 0, 1))
        assert all(torch.equal(one[key], same[key]) for key in one), (
            "initial weights differ under one seed; draw them from torch's global generator, which kdtune seeds"
        )
        assert not all(torch.equal(one[key], other[key]) for key in one), (
            "initial weights are the same under two seeds; do not set a seed or load weights in the network's function"
        )

    def test_a_training_step_gives_every_parameter_a_finite_gradient(self, network: Component) -> None:
        """Every parameter is used, and every weight matrix moves, apart from those that ``unused`` names."""
        model, images = self._built(network), self._images()
        torch.nn.functional.cross_entropy(model(images), torch.arange(IMAGES) % self.num_classes).backward()
        trained = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
        unused = {key for key, parameter in trained.items() if parameter.grad is None}
        assert unused == set(self.unused), (
            f"these parameters have no gradient: {sorted(unused)}; declared in unused are: {sorted(self.unused)}"
        )
        for key, parameter in trained.items():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), f"the gradient of {key} is not finite"
                # A bias ahead of a batch normalisation has no effect, and no gradient but rounding.
                assert parameter.dim() == 1 or parameter.grad.any(), f"the gradient of {key} is 0 throughout"

    def test_an_image_is_judged_by_itself_in_evaluation_mode(self, network: Component) -> None:
        """The logits of an image do not depend on its batch, and a batch of one image is possible."""
        model, images = self._in_evaluation_mode(network), self._images()
        with torch.inference_mode():
            together = model(images)
            alone = torch.cat([model(image[None]) for image in images])
        scale = float(together.abs().max())
        assert torch.allclose(together, alone, rtol=0, atol=1e-4 * scale), (
            "in evaluation mode, the logits of an image depend on the other images of its batch"
        )
        assert not torch.allclose(together[0], together[1], rtol=0, atol=1e-2 * scale), (
            "the logits of two different images are nearly the same"
        )

    def test_evaluation_has_no_side_effect(self, network: Component) -> None:
        """In evaluation mode, a pass draws no random numbers, changes no weight or buffer, and repeats itself."""
        model, images = self._in_evaluation_mode(network), self._images()
        before, draws = {key: value.clone() for key, value in model.state_dict().items()}, torch.get_rng_state()
        with torch.inference_mode():
            first, second = model(images), model(images)
        assert torch.equal(torch.get_rng_state(), draws), (
            "a pass in evaluation mode draws from torch's global generator; draw in training mode only (self.training)"
        )
        after = model.state_dict()
        changed = [key for key in before if not torch.equal(before[key], after[key])]
        assert not changed, f"a pass in evaluation mode changes {changed}"
        assert torch.equal(first, second), "two passes in evaluation mode over the same images differ"

    def test_saved_weights_give_the_same_outputs(self, network: Component) -> None:
        """A network with the state of another one computes what that one does."""
        trained, images = self._in_evaluation_mode(network), self._images()
        file = io.BytesIO()
        torch.save(trained.state_dict(), file)
        file.seek(0)
        restored = self._built(network, seed=1)
        restored.load_state_dict(torch.load(file, weights_only=True))
        with torch.inference_mode():
            same = torch.equal(trained(images), restored.eval()(images))
        assert same, (
            "after load_state_dict() the outputs differ; register everything that they depend on as a parameter or "
            "buffer"
        )

    def test_its_operations_are_counted(self, network: Component) -> None:
        """The multiply-adds are known, and operators that count as 0 are declared in ``uncounted``."""
        count = count_operations(self._in_evaluation_mode(network), *self.image_shape, str(network))
        assert count.macs > 0, "no multiply-add is counted"
        assert set(count.uncounted) == set(self.uncounted), (
            f"these operators count as 0: {list(count.uncounted)}; declared in uncounted are: {list(self.uncounted)}"
        )

    def _built(self, network: Component, seed: int = 0) -> torch.nn.Module:
        """Return the network in training mode, with initial weights of a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_network(network, self.image_shape[0], self.num_classes)

    def _in_evaluation_mode(self, network: Component) -> torch.nn.Module:
        """Return the network in evaluation mode, with the statistics of one batch in its batch normalisation."""
        for suite, component, made in _last_evaluated:
            if (suite, component) == (type(self), network):
                return made
        model = self._built(network)
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.momentum = 1.0
        with torch.inference_mode():
            model(self._images())
        _last_evaluated[:] = [(type(self), network, model.eval())]
        return model

    def _images(self) -> torch.Tensor:
        """Return a batch of random images."""
        return torch.randn(IMAGES, *self.image_shape, generator=torch.Generator().manual_seed(1))
