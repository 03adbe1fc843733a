"""Terminal output of the paper's claims and the verdicts on them."""

from collections.abc import Sequence

from rich.text import Text

from kdtune.analysis.verdicts import CONFIDENCE, FEWEST, Interval
from kdtune.paper.claims import JudgedClaim
from kdtune.paper.evidence import Evidence
from kdtune.report.number_formats import percent, significant

#: Colours of verdicts.
COLOURS = {"supported": "green", "contradicted": "red", "not settled": "yellow", "not run": "dim"}

NOTES = (
    f"Intervals: {CONFIDENCE:.0%}, Student's t over the differences of repeats with the same seed, which share a "
    "teacher and a split. Each interval stands alone: one in twenty is wrong by chance.",
    "Accuracies follow kdtune's protocol: tau chosen on held-out images, the last epoch, one test.",
    "The spread of repeats is assumed to be at least the resolution: one image, one step of tau. Fewer than "
    f"{FEWEST} repeats settle nothing.",
    "The margins (0.5 points of accuracy, a step of tau, a tenth of a factor) were fixed before any result was known.",
)


def claim_lines(claims: Sequence[JudgedClaim]) -> list[Text]:
    """Return the lines for all claims: text, source, rule, and one line for each comparison that tests the claim."""
    lines: list[Text] = []
    for number, judged in enumerate(claims, start=1):
        claim = judged.claim
        lines.append(Text(f"{number}. {claim.text}", style="bold"))
        lines.append(Text(f"   Source: {claim.where}.", style="dim"))
        lines.append(Text(f"   Rule: {claim.rule}. {claim.remark}".rstrip(), style="dim"))
        lines += _evidence_lines(judged.evidence)
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
    return Text.assemble("   ", (verdict, COLOURS[verdict]), f"  {text}")


def _evidence_lines(evidence: Sequence[Evidence]) -> list[Text]:
    """Return a line for each comparison; several ones of one study stand below a line that names the study once."""
    groups: dict[str, list[Evidence]] = {}
    for one in evidence:
        groups.setdefault(_study(one), []).append(one)
    lines = []
    for study, group in groups.items():
        lines += _group(study, group) if len(group) > 1 else [_alone(group[0])]
    return lines


def _study(one: Evidence, departs: Sequence[str] = ()) -> str:
    """Describe the study that a comparison comes from, with differences of its strategies if they are given."""
    whose = "the paper's own, " if one.is_papers else ""
    return f"{' and '.join(one.studies)} ({whose}{'; '.join([one.setting, *departs])}; {', '.join(one.places)})"


def _alone(one: Evidence) -> Text:
    parts = [f"{_study(one, one.departs)}: {one.measure}", *_figures(one), *_commits(one)]
    return _line(one.verdict, " | ".join(parts))


def _group(study: str, group: Sequence[Evidence]) -> list[Text]:
    sides, measures = zip(*(one.measure.partition(", ")[::2] for one in group), strict=True)
    commits = {tuple(_commits(one)) for one in group}
    heading = [study, *(measures[:1] if len(set(measures)) == 1 else ())]
    lines = [Text("   " + " | ".join([*heading, *(commits.pop() if len(commits) == 1 else ())]))]
    for one, names in zip(group, sides, strict=True):
        what = names if len(heading) > 1 else one.measure
        parts = [what, *_figures(one), *one.departs, *(_commits(one) if commits else ())]
        padding = " " * (max(map(len, COLOURS)) - len(one.verdict))
        lines.append(Text("  ") + _line(one.verdict, padding + " | ".join(parts)))
    return lines


def _figures(one: Evidence) -> list[str]:
    parts = [interval_text(one.interval, one.unit)] if one.interval else []
    if one.sides:
        parts.append("; ".join(f"{name} {_figure(value, one.unit)}" for name, value in one.sides.items()))
    return [*parts, *([one.reason] if one.reason else [])]


def _commits(one: Evidence) -> list[str]:
    return [f"commit {', '.join(commit or 'not known' for commit in one.commits)}"] if any(one.commits) else []


def interval_text(interval: Interval, unit: str) -> str:
    """Format a difference or a ratio with its interval and the number of pairs."""
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
