"""What a meter has counted so far."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """What a meter has counted so far, in microjoules.

    Attributes:
        windows: Energy of each window that is open.
        charged_uj: What the study is charged in the present file.
        spent: By bucket, in all files since the meter began.
        began_ns: When it began; a meter that goes on for one that was killed began with that one.
    """

    windows: dict[str, int]
    charged_uj: int
    spent: dict[str, int]
    began_ns: int = 0
