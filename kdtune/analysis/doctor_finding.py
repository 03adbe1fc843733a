"""Findings of the doctor's checks."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "warning", "fault"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: Name of the check.
        verdict: ``ok``, ``warning`` (studies work with limitations) or ``fault`` (studies do not work).
        found: Description of what was found.
        remedy: What the user can do about it; empty if nothing is needed.
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""
