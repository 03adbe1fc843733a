import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.forecast import graph_check, numerics_probe
from kdtune.forecast.graph_check import TOLERANCE, loss_difference
from kdtune.forecast.open_settings import resolve_open_settings
from kdtune.specs import load_study
from kdtune.specs.numerics import PLAIN
from kdtune.training import captured_steps
from kdtune.training.cuda_graphs import EagerGraph
from tests.studies import small_study

CPU = torch.device("cpu")
#: Number of steps in four epochs. By then, every fault shows.
STEPS = 8
GRAPH = PLAIN.model_copy(update={"compile": "graph"})

# The following classes simulate CUDA graphs with various faults.


class Forgetful(EagerGraph):
    """A graph that skips every fifth replay."""

    count = 0

    def replay(self):
        Forgetful.count += 1
        if Forgetful.count % 5:
            super().replay()


class Stale(EagerGraph):
    """A graph that reads the values at the time of its capture instead of current ones, except for counters."""

    def capture(self, work, state):
        super().capture(work, state)
        self._state = [tensor for tensor in state if tensor.is_floating_point()]
        self._before = [tensor.detach().clone() for tensor in self._state]

    def replay(self):
        with torch.no_grad():
            for tensor, before in zip(self._state, self._before, strict=True):
                tensor.copy_(before)
        super().replay()


class Exploding(Stale):
    """A graph that sets a weight to NaN."""

    def replay(self):
        EagerGraph.replay(self)
        with torch.no_grad():
            for tensor in self._state[:1]:
                tensor.fill_(torch.nan)


class Idle(EagerGraph):
    """A graph that does nothing in evaluations and when logits are stored, whose only state is a counter."""

    def capture(self, work, state):
        super().capture(work if len(state) > 1 else lambda: None, state)


class Failing(EagerGraph):
    """A graph that cannot be captured."""

    def capture(self, work, state):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")


def context_of(mode="replay", **changes):
    """Return a context of 89 training images, of which each epoch has two steps, the last one with fewer images."""
    study = small_study(teacher_logits=mode, data={"train_limit": 139}, validation=50, **changes)
    return TrainingContext(load_study({**study, "training": {**study["training"], "batch_size": 50}}), CPU, 1)


@pytest.fixture
def graphs(monkeypatch):
    """Return a function that makes this machine use graphs of a given class, as if it had a GPU."""

    def use(kind):
        for module in (captured_steps, graph_check):
            monkeypatch.setattr(module, "graph_maker", lambda device: kind)

    monkeypatch.setattr(numerics_probe, "_has_graphs", lambda device: True)
    monkeypatch.setattr(numerics_probe, "SMALL_MACS", 0)
    return use


@pytest.mark.parametrize("mode", ["live", "replay"])
def test_correct_graphs_show_no_difference(mode):
    assert loss_difference(context_of(mode), GRAPH, STEPS) == 0.0


@pytest.mark.parametrize(
    ("kind", "mode"), [(Forgetful, "live"), (Stale, "replay"), (Exploding, "live"), (Idle, "live"), (Idle, "replay")]
)
def test_faulty_graphs_show_a_difference(graphs, kind, mode):
    graphs(kind)
    assert not loss_difference(context_of(mode), GRAPH, STEPS) <= max(TOLERANCE.values())


@pytest.mark.parametrize("kind", [Forgetful, Failing])
def test_a_study_with_faulty_graphs_runs_eagerly_with_one_remark(graphs, kind, monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    graphs(kind)
    monkeypatch.setattr(numerics_probe, "_time_steps", lambda context, ways: {way: [1.0, 1.0] for way in ways})
    why = {Forgetful: "differs from the eager one", Failing: "operation not permitted when stream is capturing"}
    for _ in range(2):  # the second time, the result comes from the cache
        context, remarks = resolve_open_settings(context_of(), 39)
        assert not context.study.numerics.captures_steps
        (remark,) = remarks
        assert remark.startswith("training steps are not captured") and why[kind] in remark and "and more" not in remark


@pytest.mark.parametrize(("captured_s", "is_chosen"), [(0.5, True), (0.95, False)])
def test_correct_graphs_are_chosen_if_they_are_faster(graphs, captured_s, is_chosen, monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    graphs(EagerGraph)
    seconds = {True: [captured_s] * 2, False: [1.0, 1.0]}
    monkeypatch.setattr(
        numerics_probe, "_time_steps", lambda context, ways: {way: seconds[way.captures_steps] for way in ways}
    )
    context, remarks = resolve_open_settings(context_of(), 39)
    assert context.study.numerics.captures_steps is is_chosen
    assert [remark.endswith("captured steps are not faster by a factor of 1.1") for remark in remarks] == (
        [] if is_chosen else [True]
    )


def test_no_graphs_are_tried_if_the_study_sets_its_numerics(graphs):
    graphs(Failing)
    numerics = {"precision": "float32", "memory_layout": "contiguous", "compile": "off"}
    assert resolve_open_settings(context_of(numerics=numerics), 39)[1] == ()


def test_the_teachers_stored_logits_are_compared_too(monkeypatch):
    monkeypatch.setattr(graph_check, "graph_maker", lambda device: Idle)
    assert loss_difference(context_of("live"), GRAPH, STEPS) == 0.0
    assert loss_difference(context_of("replay"), GRAPH, STEPS) > max(TOLERANCE.values())
