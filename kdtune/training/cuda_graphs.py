"""Work that is recorded once and replayed: a CUDA graph on a GPU, and its eager twin elsewhere.

Replayed work reads and writes the tensors it read and wrote when it was recorded, at the same addresses: whatever
changes from one replay to the next has to be copied into them. The eager twin calls the recorded function again, so
the bookkeeping around graphs is tested without a GPU.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

#: Runs of the work before it is recorded: kernels are chosen, compiled code is generated, memory is allocated.
WARM_UP_RUNS = 3

#: Some work without arguments or result: it reads and writes tensors that outlive it.
Work = Callable[[], None]


class Graph(Protocol):
    """One piece of work, recorded and replayed."""

    def capture(self, work: Work, state: Sequence[torch.Tensor]) -> None:
        """Record the work without any lasting effect: nothing in ``state`` changes.

        Args:
            work: Called some times.
            state: Every tensor that the work both reads and writes.
        """

    def replay(self) -> None:
        """Do the recorded work once."""


class EagerGraph:
    """Calls the work itself at every replay."""

    def capture(self, work: Work, state: Sequence[torch.Tensor]) -> None:
        """Keep the function."""
        self._work = work

    def replay(self) -> None:
        """Call it."""
        self._work()


class CudaGraph:
    """A CUDA graph: one launch replays all kernels of the work."""

    def __init__(self, device: torch.device, pool: Any) -> None:
        """Prepare an empty graph.

        Args:
            device: The GPU.
            pool: Handle of the memory that it shares with other graphs; they never run side by side, and none reads
                what another has left there.
        """
        self._device = device
        self._pool = pool
        self._graph = torch.cuda.CUDAGraph()

    def capture(self, work: Work, state: Sequence[torch.Tensor]) -> None:
        """Run the work on a side stream, restoring the state after each run, then record it."""
        kept = [tensor.detach().clone() for tensor in state]
        draws = torch.cuda.get_rng_state(self._device)
        side = torch.cuda.Stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                work()
                with torch.no_grad():
                    for tensor, before in zip(state, kept, strict=True):
                        tensor.copy_(before)
        torch.cuda.current_stream(self._device).wait_stream(side)
        torch.cuda.set_rng_state(draws, self._device)
        # Recording runs no kernel, so no state changes. Another thread may allocate memory and copy logits meanwhile,
        # which would make a recording fail that watches all threads.
        with torch.cuda.graph(self._graph, pool=self._pool, capture_error_mode="thread_local"):
            work()

    def replay(self) -> None:
        """Launch the graph on the current stream."""
        self._graph.replay()


def graph_maker(device: torch.device) -> Callable[[], Graph]:
    """Makes the graphs of one device; those of a GPU share one memory pool."""
    if device.type != "cuda":
        return EagerGraph
    pool = torch.cuda.graph_pool_handle()
    return lambda: CudaGraph(device, pool)
