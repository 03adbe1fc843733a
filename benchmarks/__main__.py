"""Run every benchmark: ``python -m benchmarks``, or some: ``python -m benchmarks meter``.

``torture`` takes half an hour and ``gpu`` needs a GPU, so these run only where they are named; what follows the name is
for them.
"""

import sys

from benchmarks import accuracy, faults, gpu, kills, meter, orchestration, soak, step, study_time, torture, whole_study

ALL = {
    "accuracy": accuracy.run,
    "faults": faults.run,
    "kills": kills.run,
    "meter": meter.run,
    "orchestration": orchestration.run,
    "soak": soak.run,
    "step": step.run,
    "study_time": study_time.run,
    "whole_study": whole_study.run,
}


def main() -> None:
    """Run the named benchmarks, by default all."""
    names = sys.argv[1:] or list(ALL)
    if by_itself := {"gpu": gpu.run, "torture": torture.run}.get(names[0]):
        by_itself(names[1:])
        return
    if unknown := [name for name in names if name not in ALL]:
        sys.exit(f"unknown benchmark {', '.join(unknown)}; known: {', '.join(ALL)}, and gpu or torture by itself")
    for name in names:
        ALL[name]()


if __name__ == "__main__":
    main()
