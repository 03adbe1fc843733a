"""Run every benchmark: ``python -m benchmarks``, or some: ``python -m benchmarks meter``."""

import sys

from benchmarks import kills, meter, study_time

ALL = {"kills": kills.run, "meter": meter.run, "study_time": study_time.run}


def main() -> None:
    """Run the named benchmarks, by default all."""
    names = sys.argv[1:] or list(ALL)
    if unknown := [name for name in names if name not in ALL]:
        sys.exit(f"unknown benchmark {', '.join(unknown)}; known: {', '.join(ALL)}")
    for name in names:
        ALL[name]()


if __name__ == "__main__":
    main()
