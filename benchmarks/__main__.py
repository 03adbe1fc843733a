"""Run every benchmark: ``python -m benchmarks``, or some: ``python -m benchmarks meter``."""

import sys

from benchmarks import accuracy, faults, kills, many_trials, meter, orchestration, step, study_time, whole_study

ALL = {
    "accuracy": accuracy.run,
    "faults": faults.run,
    "kills": kills.run,
    "many_trials": many_trials.run,
    "meter": meter.run,
    "orchestration": orchestration.run,
    "step": step.run,
    "study_time": study_time.run,
    "whole_study": whole_study.run,
}


def main() -> None:
    """Run the named benchmarks, by default all."""
    names = sys.argv[1:] or list(ALL)
    if unknown := [name for name in names if name not in ALL]:
        sys.exit(f"unknown benchmark {', '.join(unknown)}; known: {', '.join(ALL)}")
    for name in names:
        ALL[name]()


if __name__ == "__main__":
    main()
