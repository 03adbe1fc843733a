"""Times the steps of a study's networks for a moment, since no test depends on how well a duration is known.

Imported by test processes, and by those from which their commands and Ray's workers are forked.
"""

from kdtune.forecast import equal_energy, step_timing

step_timing.SLICE_S, equal_energy.ROUNDS_S = 0.01, 0.0
