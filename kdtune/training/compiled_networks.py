"""Networks prepared by ``torch.compile``, once per process for any number of trainings."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch

from kdtune.errors import CompileError
from kdtune.training.compiler_paths import is_plain, plain_path

#: Name of the backend that generates the code.
BACKEND = "inductor"


class Compiler:
    """Keeps one compiled network of each architecture, which one training uses after the other.

    If each training built its own network, each network would be compiled again. The loss, and with it tau, is not
    compiled, so another temperature compiles nothing.
    """

    def __init__(self, device: torch.device, *, graphs: bool = True) -> None:
        """Compile for one device.

        Args:
            device: Device of the networks.
            graphs: Whether a GPU replays the kernels of a pass as one CUDA graph. It must not if whole steps are
                captured.
        """
        self._mode = "reduce-overhead" if device.type == "cuda" and graphs else None
        if not is_plain(tempfile.gettempdir()):
            _place_headers()
        self._kept: dict[str, tuple[torch.nn.Module, torch.nn.Module]] = {}

    def compiled(self, name: str, model: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Return a network with the weights of ``model``, and the same network compiled.

        The compiler runs at the first use of the network.

        Args:
            name: Name of the network's architecture.
            model: Network with the weights to begin with. It is used itself if it is the first of its architecture.

        Returns:
            The network and the compiled network, which share their weights. The weights of the training that used them
            before are overwritten.
        """
        if name not in self._kept:
            compiled = torch.compile(model, backend=BACKEND, mode=self._mode, dynamic=False)
            self._kept[name] = model, cast(torch.nn.Module, compiled)
        kept, compiled_model = self._kept[name]
        if kept is not model:
            kept.load_state_dict(model.state_dict())
            kept.train(model.training).requires_grad_(any(one.requires_grad for one in model.parameters()))
            kept.zero_grad(set_to_none=True)
        return kept, compiled_model


def _place_headers() -> None:
    """Make the compiler keep its headers under a path without spaces, since it does not quote the path.

    The compiler looks up the temporary folder only once, when it is imported.

    Raises:
        CompileError: There is no folder with such a path.
    """
    before = tempfile.tempdir
    tempfile.tempdir = str(plain_path(Path(tempfile.gettempdir())))
    try:
        import torch._inductor.codecache  # noqa: F401
    finally:
        tempfile.tempdir = before


@contextmanager
def compiler_errors_converted() -> Iterator[None]:
    """Convert an error of the compiler into one line.

    Raises:
        CompileError: The compiler fails; the message names the remedy.
    """
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException

        if not isinstance(error, TorchDynamoException):
            raise
        cause = getattr(error, "inner_exception", error)
        if isinstance(cause, torch.OutOfMemoryError):
            raise cause from None  # the caller handles it
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        # The message of a C++ compiler begins with its command line; the first line with an error follows later.
        detail = next((line.strip() for line in lines[1:] if "error: " in line), None)
        why = f"{lines[0]}: {detail}" if detail else lines[0]
        takes = "; on a CPU that takes a C++ compiler (g++)" if "InvalidCxxCompiler" in repr(error) else ""
        raise CompileError(
            f"the networks cannot be compiled here: {why}{takes}; or leave it out with --set numerics.compile=off"
        ) from None
