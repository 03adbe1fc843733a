"""Networks on their way from float32 to integers of 8 bits: exported, prepared for quantisation, and converted.

The reference graph of a converted network computes in float32 what the integers stand for. Its predictions are those
that count. A compiler turns it into code that computes with the integers themselves.
"""

import copy
import logging
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import torch
from torch.fx import GraphModule

from kdtune.energy.logger_levels import level_of
from kdtune.errors import UsageError
from kdtune.quantisation.batch_norm_folding import fold_batch_norms
from kdtune.specs.quantisation import Quantisation
from kdtune.storage.files import replaced_atomically

#: Bits of the weights of a converted network.
BITS = 8

#: Flags of CPUs with instructions for dot products of 8-bit integers, which accumulate them without an overflow.
_VNNI = {"avx512_vnni", "avx_vnni"}

#: Images in the batch with which a network is exported; the exported network accepts batches of any size.
_EXAMPLES = 4


def has_vnni() -> bool:
    """Return whether this CPU has VNNI instructions; without them, activations should use 7 bits."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return bool(_VNNI & set(flags.split()))


#: The graph that was exported last, by what identifies its network, with the weights that it was exported with.
#: Exporting takes most of the time of a small network's quantisation, and its trainings and tests need the same graph.
_last_export: dict[Hashable, GraphModule] = {}


def exported(network: torch.nn.Module, shape: Sequence[int], identity: Hashable = None) -> GraphModule:
    """Return the graph of a network in inference mode, with its batch normalisation folded; it can still be trained.

    Args:
        network: From images to outputs, with its weights.
        shape: Channels, height and width of an image.
        identity: What networks have in common that differ in their weights alone, so that the graph of one can be used
            for all; None if that is unknown.

    Raises:
        UsageError: ``torch.export`` does not accept the network; the message has its reason.
    """
    with _quiet():
        graph = _with_weights(_last_export.get(identity), network.state_dict())
        if graph is None:
            try:
                graph = _export(network.eval(), shape)
            except Exception as error:  # the exporter raises errors of many kinds
                raise UsageError(
                    f"cannot be quantised, since torch.export does not accept it: {_first_sentence(error)}"
                ) from None
            if identity is not None:
                _last_export.clear()
                _last_export[identity] = copy.deepcopy(graph)
        fold_batch_norms(graph)
    return graph


def _with_weights(graph: GraphModule | None, weights: Mapping[str, torch.Tensor]) -> GraphModule | None:
    """Return a copy of a graph with other weights; None if there is no graph, or one of its tensors has other names."""
    if graph is None or not graph.state_dict().keys() <= weights.keys():
        return None
    made = copy.deepcopy(graph)
    made.load_state_dict({name: weights[name] for name in made.state_dict()})
    return made


def _export(network: torch.nn.Module, shape: Sequence[int]) -> GraphModule:
    batch = {0: torch.export.Dim("batch")}
    example = (torch.zeros(_EXAMPLES, *shape),)
    # Under torch 2.11, torchao finds the layers to quantise only in a strictly exported graph.
    graph = torch.export.export(network, example, dynamic_shapes=(batch,), strict=True).module()
    assert isinstance(graph, GraphModule)
    return graph


def _first_sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


class PreparedStudent(torch.nn.Module):
    """A network whose graph observes the ranges of weights and activations and, for training, simulates rounding.

    The graph itself has no training mode. In training mode this module lets the observers follow the ranges, unless
    they have been stopped.
    """

    def __init__(
        self, network: torch.nn.Module, quantisation: Quantisation, shape: Sequence[int], identity: Hashable = None
    ) -> None:
        """Export and prepare a network.

        Args:
            network: The float student, with the weights to begin with.
            quantisation: How it is quantised.
            shape: Channels, height and width of an image.
            identity: See :func:`exported`.

        Raises:
            UsageError: ``torch.export`` does not accept the network, or no layer of it can be quantised.
        """
        with _quiet():
            from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase
            from torchao.quantization.pt2e.observer import ObserverBase
            from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e, prepare_qat_pt2e
            from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
                X86InductorQuantizer,
                get_default_x86_inductor_quantization_config,
            )

        super().__init__()
        graph = exported(network, shape, identity)
        config = get_default_x86_inductor_quantization_config(
            is_qat=quantisation.trains, reduce_range=bool(quantisation.reduce_range)
        )
        quantizer = X86InductorQuantizer().set_global(config)
        with _quiet():
            self.graph = (prepare_qat_pt2e if quantisation.trains else prepare_pt2e)(graph, quantizer)
        if not any(isinstance(module, FakeQuantizeBase | ObserverBase) for module in self.graph.modules()):
            raise UsageError(
                "cannot be quantised, since torchao finds no layer in it with an 8-bit operator, such as a linear "
                "layer or a convolution"
            )
        self.observing = True

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs for a batch of images."""
        outputs: torch.Tensor = self.graph(images)
        return outputs

    def train(self, mode: bool = True) -> Self:
        """Set the mode, which decides whether observers follow the ranges."""
        from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase

        self.training = mode
        for module in self.graph.modules():
            if isinstance(module, FakeQuantizeBase):
                module.enable_observer(mode and self.observing)
        return self

    def stop_observing(self) -> None:
        """Keep the present ranges from now on."""
        if self.observing:
            self.observing = False
            self.train(self.training)


def converted(prepared: PreparedStudent) -> GraphModule:
    """Return the int8 network of a prepared one, which is not changed. It has only the tensors that it reads."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    with _quiet():
        model: GraphModule = convert_pt2e(copy.deepcopy(prepared.graph).cpu())
    read = {str(node.target) for node in model.graph.nodes if node.op == "get_attr"}
    for name in [name for name in model.state_dict() if name not in read]:
        *path, last = name.split(".")
        owner: torch.nn.Module = model
        for part in path:
            owner = getattr(owner, part)
        delattr(owner, last)
    return model.requires_grad_(False)


class Int8Student(torch.nn.Module):
    """A converted network with the modes of a module, neither of which changes anything."""

    def __init__(self, graph: GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs for a batch of images."""
        outputs: torch.Tensor = self.graph(images)
        return outputs

    def train(self, mode: bool = True) -> Self:
        """Note the mode."""
        self.training = mode
        return self


def tensor_bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    """Return the size of all tensors of a network that inference reads, in bytes.

    Args:
        tensors: The state dict. Counters of batches, which only a training reads, do not count.
    """
    read = (one for name, one in tensors.items() if not name.endswith("num_batches_tracked"))
    return sum(one.numel() * one.element_size() for one in read)


def save_int8(model: GraphModule, shape: Sequence[int], file: Path) -> None:
    """Write a converted network to a ``.pt2`` file, which ``torch.export.load`` reads."""
    with _quiet():
        batch = {0: torch.export.Dim("batch")}
        program = torch.export.export(model, (torch.zeros(_EXAMPLES, *shape),), dynamic_shapes=(batch,))
        with replaced_atomically(file) as stream:
            torch.export.save(program, stream)


def load_int8(file: Path) -> Int8Student:
    """Return a network that :func:`save_int8` wrote."""
    with _quiet():
        import torchao.quantization.pt2e  # noqa: F401 - registers the operators of the file

        graph = torch.export.load(file).module()
    assert isinstance(graph, GraphModule)
    return Int8Student(graph)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide warnings of torch and torchao about their own internals."""
    with warnings.catch_warnings(), level_of("torch", logging.ERROR):
        warnings.simplefilter("ignore")
        yield
