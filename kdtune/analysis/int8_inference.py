"""Quantised students in measurements of inference, which are compiled: their reference graph computes in float32."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from kdtune.energy.logger_levels import level_of
from kdtune.errors import ResultsError, UsageError
from kdtune.training.numerics import Arithmetic

#: Arithmetic of the reference graph, whatever the study's precision is.
PLAIN_CPU = Arithmetic(torch.device("cpu"))

#: Names of C++ compilers that torch's compiler uses on a CPU.
_COMPILERS = ("g++", "c++", "clang++")


def can_compile(arithmetic: Arithmetic) -> bool:
    """Return whether integers can be computed with: on a CPU, beside float32, and with a C++ compiler."""
    on_cpu = arithmetic.device.type == "cpu" and arithmetic.numerics.precision == "float32"
    return on_cpu and any(shutil.which(name) for name in _COMPILERS)


def ready_int8(file: Path) -> torch.nn.Module:
    """Return a quantised student on the CPU.

    Raises:
        ResultsError: The file cannot be read.
        UsageError: torchao is not installed.
    """
    from importlib.util import find_spec

    from kdtune.quantisation.networks import load_int8

    if find_spec("torchao") is None:
        raise UsageError(f"{file}: reading it needs torchao, which is not installed: pip install 'kdtune[quantize]'")
    try:
        return load_int8(file)
    except Exception as error:  # the reader raises all kinds of errors, some with long messages
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        raise ResultsError(f"{file}: cannot be read as a quantised network ({reason}); use an intact copy") from None


@contextmanager
def compiled(networks: Mapping[str, torch.nn.Module]) -> Iterator[dict[str, torch.nn.Module]]:
    """Compile networks for inference; the compiler runs at the first passes, which have to lie inside the context."""
    from torch._inductor import config

    with config.patch(freezing=True), torch.no_grad(), level_of("torch", logging.ERROR):  # its internal warnings
        inner = {name: getattr(network, "graph", network) for name, network in networks.items()}
        made: dict[str, torch.nn.Module] = {}
        for name, network in inner.items():
            with_compiler: Any = torch.compile(network)  # torch declares a function here
            made[name] = with_compiler
        yield made
