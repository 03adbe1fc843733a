"""Terminal output of the paper's claims and the verdicts on them."""

from collections.abc import Sequence

from rich.text import Text

from kdtune.analysis.verdicts import CONFIDENCE, FEWEST, Interval
from kdtune.paper.claims import JudgedClaim
from kdtune.paper.evidence import Evidence
from kdtune.report.number_formats import percent, significant

_COLOURS = {"supported": "green", "contradicted": "red", "not settled": "yellow", "not run": "dim"}

NOTES = (
    f"Intervals: {CONFIDENCE:.0%}, Student's t over the differences of repeats with the same seed, which share a "
    "teacher and a split. Each interval stands alone: one in twenty is wrong by chance.",
    "Accuracies follow kdtune's protocol: tau chosen on held-out images, the last epoch, one test.",
    "The spread of repeats is assumed to be at least the resolution: one image, one step of tau. Fewer than "
    f"{FEWEST} repeats settle nothing.",
    "The margins (0.5 points of accuracy, a step of tau, a tenth of a factor) were fixed before any result was known.",
)


def claim_lines(claims: Sequence[JudgedClaim]) -> list[Text]:
    """Return the lines for all claims: text, source, rule, and one line for each study that tests the claim."""
    lines: list[Text] = []
    for number, judged in enumerate(claims, start=1):
        claim = judged.claim
        lines.append(Text(f"{number}. {claim.text}", style="bold"))
        lines.append(Text(f"   Source: {claim.where}.", style="dim"))
        lines.append(Text(f"   Rule: {claim.rule}. {claim.remark}".rstrip(), style="dim"))
        lines += [_evidence(one) for one in judged.evidence]
        if judged.unpaired:
            lines.append(_line("not run", judged.unpaired))
        if judged.not_run:
            lines.append(_line("not run", f"the paper's studies {', '.join(judged.not_run)}. Try: {judged.to_type}"))
        elif judged.to_type:
            lines.append(_line("not run", f"no result here tests it. Try: {judged.to_type}"))
        lines.append(Text())
    return [*lines, *(Text(line, style="dim") for line in (*_protocols(claims), *NOTES))]


def _protocols(claims: Sequence[JudgedClaim]) -> list[str]:
    """Return a line for each of the paper's studies about differences in training and evaluation."""
    found: dict[str, dict[str, None]] = {}
    for one in (one for judged in claims for one in judged.evidence):
        for study, texts in one.protocol.items():
            found.setdefault(study, {}).update(dict.fromkeys(texts))
    return [f"{study}, other differences: {'; '.join(texts)}." for study, texts in found.items()]


def _line(verdict: str, text: str) -> Text:
    return Text.assemble("   ", (verdict, _COLOURS[verdict]), f"  {text}")


def _evidence(one: Evidence) -> Text:
    whose = "the paper's own, " if one.is_papers else ""
    cut = "".join(f"; {text}" for text in one.departs)
    parts = [f"{' and '.join(one.studies)} ({whose}{one.setting}{cut}; {', '.join(one.places)}): {one.measure}"]
    if one.interval:
        parts.append(_interval(one.interval, one.unit))
    if one.sides:
        parts.append("; ".join(f"{name} {_figure(value, one.unit)}" for name, value in one.sides.items()))
    if one.reason:
        parts.append(one.reason)
    if any(one.commits):
        parts.append(f"commit {', '.join(commit or 'not known' for commit in one.commits)}")
    return _line(one.verdict, " | ".join(parts))


def _interval(interval: Interval, unit: str) -> str:
    ends = ""
    if interval.is_bounded:
        ends = f"{_signed(interval.low, unit)} to {_signed(interval.high, unit)}, "
    noun = {"fraction": " points", "ratio": " x"}.get(unit, "")
    return f"{_signed(interval.mean, unit)}{noun} ({ends}n = {interval.n})"


def _signed(value: float, unit: str) -> str:
    """Format a difference with its sign, in points for fractions. Ratios have no sign."""
    if unit == "ratio":
        return significant(value)
    return f"{value * 100:+.2f}" if unit == "fraction" else f"{value:+.1f}"


def _figure(value: float, unit: str) -> str:
    return f"{percent(value)} %" if unit == "fraction" else significant(value)
