"""What an examination of the machine finds."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        verdict: ``ok``, ``warning`` (it works, less well) or ``fault`` (it will not work).
        found: What was seen.
        remedy: What to do about it; empty where nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""
