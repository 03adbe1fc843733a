"""A grid and a stochastic training on Fashion-MNIST with kdtune, compared with the reference loop.

Both sides are run alternately. The reference is a single process that trains with one temperature after the other. To
save time, it trains only :data:`POINTS` of the grid's points in each round, others each time, and the result is scaled
to the whole grid. The energy of both sides is modelled in the same way: the busy CPU seconds of the whole machine (on
which nothing else may run) multiplied by the design power of a core, and the memory's power multiplied by time.
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

from benchmarks.record import ResultsByRound, print_progress
from benchmarks.reference import busy_s
from kdtune.energy.sensors.node import Hardware, NodeSensors
from kdtune.forecast.strategy_estimate import modelled_cpu_uj
from kdtune.specs import load_study

#: Rounds, in each of which everything is run once.
TURNS = 3

#: Epochs of a training, and the number of images for training and validation together.
EPOCHS, IMAGES = 1, 45_000

#: Number of points of the grid that the reference trains in a round.
POINTS = 1

#: Caches that are cleared before every run of kdtune, so that each run does the work that it is charged for.
CLEARED = ("teacher-logits", "compilations", "inspections", "numerics")

#: Caches that are kept, since the reference neither trains a teacher nor decodes data.
KEPT = ("decoded", "teachers", "verified")

_Usage = dict[str, float]


def run(turns: int = TURNS, images: int = IMAGES) -> None:
    """Run the grid and a stochastic training alternately with kdtune and with the reference.

    Args:
        turns: Number of rounds.
        images: Number of images for training and validation together.
    """
    sheet = ResultsByRound("whole_study", "python -m benchmarks whole_study")
    hardware = NodeSensors().hardware()
    study = load_study("fashion-hkd", overrides=[f"data.train_limit={images}"])
    taus = [float(point["tau"]) for point in study.search_space.points()]
    validation = round(images * study.validation)
    data = {"train": images - validation, "validation": validation, "epochs": EPOCHS}
    facts = {
        "data": data,
        "caches": {"cleared_before_each_run": CLEARED, "kept": KEPT},
        "reference_scaling": f"start and end of its process, plus {len(taus)} times the mean of the {POINTS} of "
        f"{len(taus)} points that it trained in the round",
        "joules": "modelled in the same way for both: busy CPU seconds of the machine times the design power of a "
        "core, plus the memory's power times the elapsed time",
    }
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        print_progress("the first run, with its teacher")
        facts["first_run_with_its_teacher"] = _measured(hardware, lambda: _kdtune("fixed", place / "first", images))
        print_progress("trying the reference loop's threads and workers")
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
                print_progress(f"turn {turn + 1}: kdtune, {strategy}: {_as_text(usage)}")

            def reference(chosen: list[list[float]] = chosen, turn: int = turn) -> None:
                start, points, drawn = _parts_of_reference(data, chosen, taus, manner["manner"])
                for way, trained, times in (("grid", points, len(taus)), ("stochastic", drawn, 1)):
                    usage = _energy(hardware, {key: start[key] + times * trained[key] for key in start})
                    found[way]["reference"].append(usage)
                    print_progress(f"turn {turn + 1}: reference, {way}: {_as_text(usage)}")

            actions: list[Callable[[], None]] = [lambda: kdtune("grid"), reference, lambda: kdtune("stochastic")]
            # The order is reversed in every other round.
            for action in actions if turn % 2 == 0 else reversed(actions):
                action()
            results = {**facts, **{way: _summary(sides) for way, sides in found.items()}}
            sheet.save(results)
    sheet.finish(results)


def _clear(place: Path) -> None:
    command = [sys.executable, "-m", "kdtune", "clean", *CLEARED, "--yes"]
    subprocess.run(command, env=_environment(place), check=True, capture_output=True)


def _environment(place: Path) -> dict[str, str]:
    return {**os.environ, "KDTUNE_CACHE_DIR": str(place / "cache")}


def _kdtune(strategy: str, out: Path, images: int) -> None:
    command = [sys.executable, "-m", "kdtune", "study", "fashion-hkd", "--strategy", strategy, "--repeats", "1"]
    command += ["--epochs", str(EPOCHS), "--set", f"data.train_limit={images}"]
    # One epoch of the teacher's training is enough, since its weights do not influence the time.
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
    """Run the reference in one process and return the usage of its parts.

    Args:
        data: Numbers of images and epochs.
        chosen: Temperature of each training of the grid.
        taus: Temperatures from which the stochastic training draws.
        manner: Fields of a :class:`benchmarks.reference.Manner`.

    Returns:
        Usage of the start and the end of the process, of a training of the grid on average, and of the stochastic
        training.
    """
    began = time.clock_gettime(time.CLOCK_MONOTONIC), busy_s()
    marks = _reference(data, [*chosen, taus], manner)["marks"]
    ended = time.clock_gettime(time.CLOCK_MONOTONIC), busy_s()
    parts = [_between(*pair) for pair in zip([began, *marks], [*marks, ended], strict=True)]
    start = {key: parts[0][key] + parts[-1][key] for key in parts[0]}
    points = {key: sum(one[key] for one in parts[1:-2]) / len(chosen) for key in start}
    return start, points, parts[-2]


def _between(before: tuple[float, float], after: tuple[float, float]) -> _Usage:
    return {"wall_s": after[0] - before[0], "cpu_s": after[1] - before[1]}


def _measured(hardware: Hardware, action: Callable[[], None]) -> _Usage:
    """Run an action and return the usage of the whole machine.

    The CPU time of child processes would not do, since Ray's daemon does not wait for its workers.
    """
    began = time.clock_gettime(time.CLOCK_MONOTONIC), busy_s()
    action()
    return _energy(hardware, _between(began, (time.clock_gettime(time.CLOCK_MONOTONIC), busy_s())))


def _energy(hardware: Hardware, usage: _Usage) -> _Usage:
    joules = (modelled_cpu_uj(hardware, usage["cpu_s"]) + hardware.ram_uw * usage["wall_s"]) / 1e6
    return {**usage, "joules_modelled": joules}


def _as_text(usage: _Usage) -> str:
    return f"{usage['wall_s']:.1f} s, {usage['cpu_s']:.1f} CPU s, {usage['joules_modelled']:.0f} J"


def _summary(sides: dict[str, list[_Usage]]) -> dict[str, Any]:
    """Return the usage in every round, the medians, their ratio, and the range of the rounds' ratios."""
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
