import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu, gpu_share, gpu_step, gpu_study, record
from kdtune.energy.interval_shares import BUCKETS
from tests.forked import SERVER, TorchProcess
from tests.studies import here


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """Run a benchmark's smoke test and return the results that it saves."""

    def run(*arguments):
        monkeypatch.setattr(record, "RESULTS", tmp_path)
        gpu.run([*arguments, "--smoke"])
        document = json.loads((tmp_path / f"gpu_{arguments[0]}_smoke.json").read_text())
        assert document["results"]["smoke"] is True
        return document["results"]

    threads = torch.get_num_threads()
    yield run
    torch.set_num_threads(threads)


def test_all_ways_that_need_no_compiler_are_timed(tried):
    results = tried("step", "--synthetic")
    ways = [name for name, (_, compiling, _) in gpu_step.WAYS.items() if compiling in ("off", "graph")]
    assert list(results["ways"]) == [f"{name}, {told}" for name in ways for told in ("live", "replayed")]
    assert not results["failed"]
    for name, way in results["ways"].items():
        assert len(way["turns"]) == gpu_step.SMOKE_TURNS
        assert 0 < way["median"]["host_ms"] <= way["median"]["wall_ms"]
        assert results["roofline"]["ways"][name]["fraction_reached"] > 0
        if not torch.cuda.is_available():  # unmeasured values are null
            assert way["median"]["device_ms"] is None and way["kernels_a_step"] is None


def test_at_least_a_hundred_steps_of_each_way_are_timed():
    assert gpu_step.TURNS * gpu_step.STEPS >= 100


def test_the_counter_is_compared_with_integrated_power(tried):
    results = tried("nvml")
    for one in results["slices"]:
        assert one["counter_over_integrated"] == pytest.approx(1.0, rel=0.5)
        assert one["counter_interval_ms"] > 0


def test_concurrent_trainings_are_timed(tried, monkeypatch):
    def forking(method):
        assert method == "spawn"  # in whose place are processes that have imported torch
        return SimpleNamespace(Barrier=SERVER.Barrier, Queue=SERVER.Queue, Process=TorchProcess)

    monkeypatch.setattr(gpu_share, "multiprocessing", SimpleNamespace(get_context=forking))
    found = tried("share")["steps_per_s"]
    assert found["processes"]["1"] > 0 and found["streams"]["1"] > 0


@pytest.mark.study
def test_a_study_is_run_and_its_cost_is_saved(tried, monkeypatch):
    def run(command, **_):
        assert command[:3] == [sys.executable, "-m", "kdtune"]
        return here(*command[3:], cwd=Path.cwd())

    monkeypatch.setattr(gpu_study, "subprocess", SimpleNamespace(run=run))
    (strategy,) = tried("study")["strategies"].values()
    assert strategy["status"] == "completed" and strategy["computed"]["compile"] == "off"
    energy_uj = strategy["cost"]["energy_uj"]
    assert sum(energy_uj[bucket] for bucket in BUCKETS) == energy_uj["node_total"]


def test_without_a_gpu_only_the_smoke_test_runs(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        gpu.run(["step"])
    assert ended.value.code == 2
    assert "--smoke tests the code without one" in capsys.readouterr().err
