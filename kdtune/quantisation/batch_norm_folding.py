"""Folding of batch normalisation into the convolutions of an exported network.

torchao can fold it during quantisation-aware training by itself, but exports over a hundred small patterns for this,
whatever the network: that takes a hundred times as long as the training of a small network. A student that has been
trained has settled statistics, so they are folded before. The batch normalisation is thereby frozen from the beginning.
"""

from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

from kdtune.errors import UsageError

_BATCH_NORM = torch.ops.aten.batch_norm.default
_CONVOLUTIONS = (torch.ops.aten.conv1d.default, torch.ops.aten.conv2d.default, torch.ops.aten.conv3d.default)


def fold_batch_norms(model: GraphModule) -> None:
    """Fold every batch normalisation of a network that was exported for inference.

    One that follows a convolution is folded into it: w' = w gamma / sqrt(variance + eps), and
    b' = (b - mean) gamma / sqrt(variance + eps) + beta. Any other one becomes a multiplication and an addition.

    Args:
        model: The exported network, which is changed.

    Raises:
        UsageError: One has no running statistics, so that it depends on the batch and cannot be folded.
    """
    for node in list(model.graph.nodes):
        if node.target is _BATCH_NORM:
            if None in node.args[3:5]:
                raise UsageError(
                    "cannot be quantised, since a batch normalisation keeps no running statistics, which are folded "
                    "into the layer before it; build it with track_running_stats=True"
                )
            folded = _into_convolution(model, node) if _follows_convolution(node) else _as_arithmetic(model, node)
            node.replace_all_uses_with(folded)
            model.graph.erase_node(node)
    model.graph.eliminate_dead_code()
    model.recompile()


def _follows_convolution(node: Node) -> bool:
    """Return whether a node's input is a convolution with weights of its own, which nothing else uses."""
    before = node.args[0]
    if not (isinstance(before, Node) and before.target in _CONVOLUTIONS and len(before.users) == 1):
        return False
    weights = [one for one in before.args[1:3] if one is not None]
    return all(isinstance(one, Node) and one.op == "get_attr" and len(one.users) == 1 for one in weights)


def _into_convolution(model: GraphModule, node: Node) -> Node:
    convolution = node.args[0]
    assert isinstance(convolution, Node)
    name, old_bias = convolution.args[1], convolution.args[2] if len(convolution.args) > 2 else None
    scale, offset, mean, variance = (_tensor(model, one) for one in node.args[1:5])
    eps: Any = node.args[7]
    weight, bias = fuse_conv_bn_weights(
        _tensor(model, name), _tensor(model, old_bias), mean, variance, eps, scale, offset
    )
    assert isinstance(name, Node)
    _put(model, str(name.target), weight)
    with model.graph.inserting_before(convolution):
        placed = _new_parameter(model, f"{convolution.name}_folded_bias", bias)
    convolution.args = (*convolution.args[:2], placed, *convolution.args[3:])
    return convolution


def _as_arithmetic(model: GraphModule, node: Node) -> Node:
    scale, offset, mean, variance = (_tensor(model, one) for one in node.args[1:5])
    eps: Any = node.args[7]
    factor = torch.rsqrt(variance + eps) * (1 if scale is None else scale)
    shift = (0 if offset is None else offset) - mean * factor
    dimensions = node.args[0].meta["val"].ndim  # type: ignore[union-attr]
    shape = (1, -1, *[1] * (dimensions - 2))
    with model.graph.inserting_before(node):
        by, plus = (
            _new_parameter(model, f"{node.name}_{what}", torch.nn.Parameter(value.detach().reshape(shape)))
            for what, value in (("factor", factor), ("shift", shift))
        )
        product = model.graph.call_function(torch.ops.aten.mul.Tensor, (node.args[0], by))
        added = model.graph.call_function(torch.ops.aten.add.Tensor, (product, plus))
    for one in (product, added):
        one.meta = dict(node.meta)
    return added


def _new_parameter(model: GraphModule, name: str, value: torch.nn.Parameter) -> Node:
    setattr(model, name, value)
    node = model.graph.get_attr(name)
    node.meta["val"] = value
    return node


def _tensor(model: GraphModule, node: Any) -> Any:
    """Return the tensor that a node reads; None for an argument that is None."""
    if node is None:
        return None
    found: Any = model
    for part in str(node.target).split("."):
        found = getattr(found, part)
    return found


def _put(model: GraphModule, name: str, value: torch.nn.Parameter) -> None:
    *path, last = name.split(".")
    owner: Any = model
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, value)
