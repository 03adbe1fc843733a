from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch

from kdtune.training import captured_steps, cuda_graphs
from kdtune.training.captured_steps import CapturedSteps
from kdtune.training.cuda_graphs import WARM_UP_RUNS, CudaGraph, EagerGraph, graph_maker
from tests.training.test_captured_steps import CHANGED, PER_SAMPLE, STOCHASTIC, assert_equal, trained
from tests.trainings import CPU

STREAM = SimpleNamespace(wait_stream=lambda other: None)


class OnCpu(CudaGraph):
    """A CUDA graph without its hardware: while it records, nothing that the work does lasts."""

    def capture(self, work, state):
        self._work = work
        self._graph.state = state
        super().capture(work, state)

    def replay(self):
        self._work()


@contextmanager
def recording(graph, pool, capture_error_mode):
    assert capture_error_mode == "thread_local"  # a thread that fetches logits must not spoil it
    before = [tensor.detach().clone() for tensor in graph.state]
    with torch.random.fork_rng(devices=[]):
        yield
    with torch.no_grad():
        for tensor, value in zip(graph.state, before, strict=True):
            tensor.copy_(value)


@pytest.fixture
def cuda(monkeypatch):
    """The functions of torch.cuda that graphs use."""
    fakes = {
        "CUDAGraph": SimpleNamespace,
        "Stream": lambda device: STREAM,
        "current_stream": lambda device: STREAM,
        "stream": lambda stream: nullcontext(),
        "get_rng_state": lambda device: torch.get_rng_state(),
        "set_rng_state": lambda state, device: torch.set_rng_state(state),
        "graph": recording,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(cuda_graphs.torch.cuda, name, fake)


def test_recording_leaves_no_trace(cuda):
    count, runs = torch.zeros(1), []
    graph = OnCpu(CPU, None)

    def work():
        runs.append(float(count))
        count.add_(1 + torch.rand(1))

    torch.manual_seed(0)
    draws = torch.get_rng_state()
    graph.capture(work, [count])
    assert runs == [0.0] * (WARM_UP_RUNS + 1)  # each begins with the same state
    assert count == 0.0 and torch.equal(torch.get_rng_state(), draws)
    graph.replay()
    assert count >= 1.0


@pytest.mark.parametrize(("optimizer", "batch_size"), [("sgd", 16), ("adam", 11)])
def test_everything_that_a_training_changes_is_restored_after_a_recording(
    training, cuda, monkeypatch, optimizer, batch_size
):
    monkeypatch.setattr(captured_steps, "graph_maker", lambda device: lambda: OnCpu(device, None))
    captures = CapturedSteps(CPU)
    given = {"optimizer": optimizer, "batch_size": batch_size, "epochs": 2, **CHANGED}
    # Without a warm-up before it, so that graphs are recorded in the middle of an epoch.
    learned, kept, phases = {"temperature": "ctkd"}, {"temperature": "dts"}, {"loss": "annealing"}
    of_images, of_loss = {"temperature": "normkd"}, {"loss": "max-logit", "tau": 2}
    for point in (STOCHASTIC, PER_SAMPLE, learned, kept, phases, of_images, of_loss):
        eager, ours = training(point, **given), training(point, captures, **given)
        assert trained(eager) == trained(ours)
        assert_equal(eager, ours)


def test_a_cpu_has_eager_graphs():
    assert isinstance(graph_maker(CPU)(), EagerGraph)
