"""Suggestions for misspelt names and options."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a hint such as ``did you mean 'grid'?``, or the list of all known names if none is similar."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(known)


def known_options(names: Iterable[str]) -> str:
    """Return ``its options are ...``, or that there are none."""
    known = ", ".join(names)
    return f"its options are {known}" if known else "it has no options"
