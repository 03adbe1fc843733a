"""Networks prepared by ``torch.compile``, once in a process however many trainings follow."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch

from kdtune.errors import CompileError
from kdtune.training.compiler_paths import is_plain, plain_path

#: What generates the code.
BACKEND = "inductor"


class Compiler:
    """Keeps one compiled network of each kind and gives it to one training after the other.

    A network that is built anew for each training would be compiled anew too. The loss stays outside of what is
    compiled, and with it tau: another temperature compiles nothing.
    """

    def __init__(self, device: torch.device, *, graphs: bool = True) -> None:
        """Compile for one device.

        Args:
            device: Where the networks run.
            graphs: Whether the kernels of a pass are replayed as one CUDA graph on a GPU; not where the whole step is
                captured.
        """
        self._mode = "reduce-overhead" if device.type == "cuda" and graphs else None
        if not is_plain(tempfile.gettempdir()):
            _place_headers()
        self._kept: dict[str, tuple[torch.nn.Module, torch.nn.Module]] = {}

    def compiled(self, name: str, model: torch.nn.Module) -> tuple[torch.nn.Module, torch.nn.Module]:
        """A network with the weights of ``model``, and the same one compiled; nothing is compiled before its use.

        Args:
            name: Of the network's architecture.
            model: Weights to begin with; not kept where there is a network already.

        Returns:
            Both share their weights. Those of the training that had them before are overwritten.
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
    """Let the compiler keep its headers under a path of one word, for it does not quote it.

    It looks for the temporary folder once, when it is imported.

    Raises:
        CompileError: There is no such place.
    """
    before = tempfile.tempdir
    tempfile.tempdir = str(plain_path(Path(tempfile.gettempdir())))
    try:
        import torch._inductor.codecache  # noqa: F401
    finally:
        tempfile.tempdir = before


@contextmanager
def told_plainly() -> Iterator[None]:
    """Tell in one line what the compiler fails at inside.

    Raises:
        CompileError: It fails; names the remedy.
    """
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException

        if not isinstance(error, TorchDynamoException):
            raise
        cause = getattr(error, "inner_exception", error)
        if isinstance(cause, torch.OutOfMemoryError):
            raise cause from None  # which others know what to do about
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        # Of a C++ compiler's own words the first that names an error; before them stands its command line.
        told = next((line.strip() for line in lines[1:] if "error: " in line), None)
        why = f"{lines[0]}: {told}" if told else lines[0]
        takes = "; on a CPU that takes a C++ compiler (g++)" if "InvalidCxxCompiler" in repr(error) else ""
        raise CompileError(
            f"the networks cannot be compiled here: {why}{takes}; or leave it out with --set numerics.compile=off"
        ) from None
