"""Restores process-wide state of the caller, since programs with state of their own call kdtune."""

import faulthandler
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

#: Prefixes of the environment variables that libraries set: torch's compilers, for the place of generated code, and
#: Ray, also when it is only imported.
_OF_LIBRARIES = ("TORCHINDUCTOR_", "TRITON_", "RAY_", "PYTHONBREAKPOINT")


@contextmanager
def restored_process_state(*, uses_torch: bool = False) -> Iterator[None]:
    """Restore on exit the process-wide state that Ray, Tune and trainings in this process change.

    This state consists of SIGUSR1's handler, the hooks for uncaught errors and crashes, the warning filters, the random
    states of Python, NumPy and torch, torch's number of threads and GPU flags, and the environment variables that
    torch's compilers and Ray set. The state of libraries that are not imported yet is not restored.

    Args:
        uses_torch: Import torch first, so that its state is restored even if the caller has not imported it.
    """
    if uses_torch:
        import torch  # noqa: F401
    python_state = random.getstate()
    handler = signal.getsignal(signal.SIGUSR1)
    with ExitStack() as found:
        found.callback(random.setstate, python_state)
        found.callback(setattr, sys, "excepthook", sys.excepthook)  # Ray replaces it when it is imported
        if not faulthandler.is_enabled():
            found.callback(faulthandler.disable)
        found.enter_context(_restored_variables())
        found.enter_context(warnings.catch_warnings())
        if threading.current_thread() is threading.main_thread() and handler is not None:
            found.callback(signal.signal, signal.SIGUSR1, handler)
        if numpy := sys.modules.get("numpy"):
            found.callback(numpy.random.set_state, numpy.random.get_state())
        if "torch" in sys.modules:
            found.enter_context(_restored_torch_state())
        yield


@contextmanager
def _restored_variables() -> Iterator[None]:
    before = {key: value for key, value in os.environ.items() if key.startswith(_OF_LIBRARIES)}
    try:
        yield
    finally:
        for key in [key for key in os.environ if key.startswith(_OF_LIBRARIES)]:
            del os.environ[key]
        os.environ.update(before)


@contextmanager
def _restored_torch_state() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    flags = [
        (torch.backends.cudnn, "allow_tf32"),
        (torch.backends.cuda.matmul, "allow_tf32"),
        (torch.backends.cudnn, "benchmark"),
    ]
    before = []
    for place, name in flags:
        with suppress(RuntimeError):  # set through torch's newer interface, which this one cannot read
            before.append((place, name, getattr(place, name)))
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        torch.set_num_threads(threads)
        for place, name, value in before:
            setattr(place, name, value)
