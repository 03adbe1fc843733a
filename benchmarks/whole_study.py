"""A grid and a stochastic training on Fashion-MNIST by kdtune, against the reference loop over the same temperatures.

Both take turns. The reference is one process that goes from temperature to temperature; of the grid it trains
:data:`POINTS` in a turn, another one each turn, and the rest is taken to be like them, since that many minutes would
be spent on repeating one thing. Energy is modelled alike for both: CPU seconds of the whole machine, on which nothing
else may run, at the design power of a core, and memory by time.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.record import TurnByTurn, tell
from benchmarks.reference import busy_s
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.forecast.strategy_estimate import modelled_cpu_uj
from kdtune.specs import load_study

#: Turns, in each of which every way runs once.
TURNS = 3

#: Epochs of a training, and the images that are trained on and those that are held out, together.
EPOCHS, IMAGES = 1, 45_000

#: Of the grid's points, those that the reference trains in a turn.
POINTS = 1

#: Removed before every run of kdtune, so that each has to find out and to ask for itself, as its bill says.
CLEARED = ("teacher-logits", "compilations", "inspections", "numerics")

#: Left in place: neither side trains a teacher, and the reference's data need no decoding.
KEPT = ("decoded", "teachers", "verified")

_Usage = dict[str, float]


def run(turns: int = TURNS, images: int = IMAGES) -> None:
    """Run both by turns, the grid and one stochastic training."""
    sheet = TurnByTurn("whole_study", "python -m benchmarks whole_study")
    hardware = NodeSensors().hardware()
    study = load_study("fashion-hkd", overrides=[f"data.train_limit={images}"])
    taus = [float(point["tau"]) for point in study.search_space.points()]
    validation = round(images * study.validation)
    data = {"train": images - validation, "validation": validation, "epochs": EPOCHS}
    facts = {
        "data": data,
        "caches": {"cleared_before_each_run": CLEARED, "kept": KEPT},
        "reference_scaling": f"what its process takes to begin, and {len(taus)} times the mean of the {POINTS} of "
        f"{len(taus)} points that it trained in the turn",
        "joules": "modelled alike: CPU seconds of the machine at the design power of a core, and memory by time",
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tell("the first run, with its teacher")
        facts["first_run_with_its_teacher"] = _measured(hardware, lambda: _kdtune("fixed", place / "first", images))
        tell("trying the reference loop's threads and workers")
        facts["reference_manner"] = manner = _reference(data, [], None)
        found: dict[str, dict[str, list[_Usage]]] = {
            way: {"kdtune": [], "reference": []} for way in ("grid", "stochastic")
        }
        for turn in range(turns):
            chosen = [[taus[(turn * POINTS + number) * 7 % len(taus)]] for number in range(POINTS)]

            def kdtune(strategy: str, turn: int = turn) -> None:
                _clear(place)
                usage = _measured(hardware, lambda: _kdtune(strategy, place / f"{strategy}-{turn}", images))
                found[strategy]["kdtune"].append(usage)
                tell(f"turn {turn + 1}: kdtune, {strategy}: {_told(usage)}")

            def reference(chosen: list[list[float]] = chosen, turn: int = turn) -> None:
                start, points, drawn = _parts_of_reference(data, chosen, taus, manner["manner"])
                for way, trained, times in (("grid", points, len(taus)), ("stochastic", drawn, 1)):
                    usage = _energy(hardware, {key: start[key] + times * trained[key] for key in start})
                    found[way]["reference"].append(usage)
                    tell(f"turn {turn + 1}: reference, {way}: {_told(usage)}")

            actions: list[Callable[[], None]] = [lambda: kdtune("grid"), reference, lambda: kdtune("stochastic")]
            # Whoever comes first in one turn comes last in the next.
            for action in actions if turn % 2 == 0 else reversed(actions):
                action()
            results = {**facts, **{way: _summary(sides) for way, sides in found.items()}}
            sheet.keep(results)
    sheet.finish(results)


def _clear(place: Path) -> None:
    command = [sys.executable, "-m", "kdtune", "clean", *CLEARED, "--yes"]
    subprocess.run(command, env=_environment(place), check=True, capture_output=True)


def _environment(place: Path) -> dict[str, str]:
    return {**os.environ, "KDTUNE_CACHE_DIR": str(place / "cache")}


def _kdtune(strategy: str, out: Path, images: int) -> None:
    command = [sys.executable, "-m", "kdtune", "study", "fashion-hkd", "--strategy", strategy, "--repeats", "1"]
    command += ["--epochs", str(EPOCHS), "--set", f"data.train_limit={images}"]
    # What the teacher knows changes no time.
    command += ["--set", "teacher_training.epochs=1", "--set", "teacher_training.milestones=[]"]
    command += ["--quiet", "--out", str(out)]
    subprocess.run(command, env=_environment(out.parent), check=True, capture_output=True)


def _reference(data: dict[str, int], taus: list[list[float]], manner: dict[str, int] | None) -> dict[str, Any]:
    """Run :func:`benchmarks.reference.trainings` in a process of its own."""
    arguments = json.dumps({**data, "taus": taus, "manner": manner})
    command = [sys.executable, "-m", "benchmarks.reference", arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _parts_of_reference(
    data: dict[str, int], chosen: list[list[float]], taus: list[float], manner: dict[str, int]
) -> tuple[_Usage, _Usage, _Usage]:
    """Of one process: its beginning and end, a training of the grid on average, and one whose batches draw a tau."""
    began = time.clock_gettime(time.CLOCK_MONOTONIC), busy_s()
    marks = _reference(data, [*chosen, taus], manner)["marks"]
    ended = time.clock_gettime(time.CLOCK_MONOTONIC), busy_s()
    stretches = [_between(*pair) for pair in zip([began, *marks], [*marks, ended], strict=True)]
    start = {key: stretches[0][key] + stretches[-1][key] for key in stretches[0]}
    points = {key: sum(one[key] for one in stretches[1:-2]) / len(chosen) for key in start}
    return start, points, stretches[-2]


def _between(before: tuple[float, float], after: tuple[float, float]) -> _Usage:
    return {"wall_s": after[0] - before[0], "cpu_s": after[1] - before[1]}


def _measured(hardware: Hardware, action: Callable[[], None]) -> _Usage:
    """Of the whole machine: Ray's daemon does not wait for its workers."""
    began = time.clock_gettime(time.CLOCK_MONOTONIC), busy_s()
    action()
    return _energy(hardware, _between(began, (time.clock_gettime(time.CLOCK_MONOTONIC), busy_s())))


def _energy(hardware: Hardware, usage: _Usage) -> _Usage:
    joules = (modelled_cpu_uj(hardware, usage["cpu_s"]) + hardware.ram_uw * usage["wall_s"]) / 1e6
    return {**usage, "joules_modelled": joules}


def _told(usage: _Usage) -> str:
    return f"{usage['wall_s']:.1f} s, {usage['cpu_s']:.1f} CPU s, {usage['joules_modelled']:.0f} J"


def _summary(sides: dict[str, list[_Usage]]) -> dict[str, Any]:
    """Every turn, the medians, and the ratio of the medians beside the least and the greatest of the turns' own."""
    ours, theirs = sides["kdtune"], sides["reference"]
    middle = {side: {key: median(one[key] for one in turns) for key in ours[0]} for side, turns in sides.items()}
    ratios = {key: [their[key] / our[key] for our, their in zip(ours, theirs, strict=True)] for key in ours[0]}
    return {
        "turns": sides,
        "median": middle,
        "reference_over_kdtune": {
            key: {"median": middle["reference"][key] / middle["kdtune"][key], "min": min(found), "max": max(found)}
            for key, found in ratios.items()
        },
    }
