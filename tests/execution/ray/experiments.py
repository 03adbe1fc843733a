"""Experiments of somebody else's. Workers import this module, so it imports no torch, which takes them seconds."""

import itertools
import time
from pathlib import Path

import ray
from ray import tune


def burn_once_released(config):
    """A function trainable that waits for a file; of ``x`` 3 it fails after its last report."""
    while not Path(config["released"]).exists():
        time.sleep(0.05)
    total = 0
    for step in range(2):
        total += sum(range(3_000_000))
        tune.report({"score": config["x"] + step, "total": total})
    if config["x"] == 3:
        raise RuntimeError("on purpose")


def work(cpu_s):
    """Be busy for so many seconds of CPU time."""
    until_s = time.process_time() + cpu_s
    while time.process_time() < until_s:
        sum(range(10_000))


class SlowSetup(tune.Trainable):
    """Works for a second before its first step."""

    def setup(self, config):
        work(1.0)

    def step(self):
        return {"score": 1, "done": True}


class SetupFails(SlowSetup):
    """Works for a second and fails."""

    def setup(self, config):
        super().setup(config)
        raise RuntimeError("on purpose")


@ray.remote
class Helper:
    """An actor that a trial starts."""

    def work(self, cpu_s):
        work(cpu_s)


def delegate(config):
    """Lets an actor of its own, or a task, do the work; reports the CPU time of its own process meanwhile."""
    began_s = time.process_time()
    if config["to"] == "an actor":
        ray.get(Helper.remote().work.remote(1.5))
    else:
        ray.get(ray.remote(work).remote(1.5))
    tune.report({"score": 1, "own_cpu_s": time.process_time() - began_s})


def burn_until_it_may_stop(config):
    """Reports every few hundredths of a second; ends once there is a file called as the configuration says."""
    for step in itertools.count(1):
        work(0.02)
        time.sleep(0.02)  # other experiments of the test use the same cores
        tune.report({"score": 1, "done": step > 3 and Path(config["stop"]).exists()})


def fit(trainable, folder, ledger, **settings):
    """Run an experiment with a ledger in ``folder/study``."""
    run = tune.RunConfig(name="study", storage_path=str(folder), callbacks=[ledger], verbose=0)
    return tune.Tuner(trainable, run_config=run, **settings).fit()
