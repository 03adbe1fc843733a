"""Run all benchmarks with ``python -m benchmarks``, or some of them, as in ``python -m benchmarks meter step``.

``torture`` takes half an hour and ``gpu`` needs a GPU, so these two run only if they are named first; the arguments
after the name are theirs.
"""

import sys
from collections.abc import Callable

from benchmarks import (
    accuracy,
    detection,
    faults,
    gpu,
    host_images,
    kills,
    machines,
    meter,
    orchestration,
    soak,
    step,
    study_time,
    synthesis,
    torture,
    verdict_errors,
    whole_study,
)

ALL: dict[str, Callable[..., object]] = {
    "accuracy": accuracy.run,
    "detection": detection.run,
    "faults": faults.run,
    "host_images": host_images.run,
    "kills": kills.run,
    "machines": machines.run,
    "meter": meter.run,
    "orchestration": orchestration.run,
    "soak": soak.run,
    "step": step.run,
    "study_time": study_time.run,
    "synthesis": synthesis.run,
    "verdict_errors": verdict_errors.run,
    "whole_study": whole_study.run,
}


def main() -> None:
    """Run the benchmarks that are named on the command line, by default all."""
    names = sys.argv[1:] or list(ALL)
    if by_itself := {"gpu": gpu.run, "torture": torture.run}.get(names[0]):
        by_itself(names[1:])
        return
    if unknown := [name for name in names if name not in ALL]:
        sys.exit(f"unknown benchmark {', '.join(unknown)}; known: {', '.join(ALL)}; or one of gpu and torture alone")
    for name in names:
        ALL[name]()


if __name__ == "__main__":
    main()
