"""A recommendation as a paragraph that a person can act on."""

from collections import Counter

from kdtune.analysis.difference_verdicts import BaselineComparison
from kdtune.analysis.recommendation import ComparedStrategy, Recommendation
from kdtune.report.number_formats import describe_choice, significant
from kdtune.report.statistics_table import in_words, margin_in_words, points, sources_in_words
from kdtune.storage.wording import counted

_AT_CHANCE = (
    "There is no answer: no model is better than always predicting the most frequent class, so differences between the "
    "strategies mean nothing. Train for more epochs, or check the learning rate and the data, before you compare."
)


def recommendation_text(found: Recommendation) -> str:
    """Return the paragraph, without what is missing."""
    return f"{found.study}: " + " ".join([*_sentences(found), *_basis(found)])


def verdict_text(found: Recommendation) -> str:
    """Return the verdict in at most two sentences: what to use, and the comparison that decides it."""
    return " ".join(_sentences(found)[:2])


def _sentences(found: Recommendation) -> list[str]:
    """Return the answer and the comparisons on which it is based, the most important one first."""
    if found.at_chance:
        return [_AT_CHANCE]
    sentences = [_answer(found)]
    teacher_decides = found.alone is not None and found.use == found.alone.strategy
    if teacher_decides:
        sentences.append(_of_teacher(found))
    if found.search_gain and found.search and found.single:
        sentences.append(_of_search(found, found.search_gain, found.search, found.single))
    if not teacher_decides:
        sentences.append(_of_teacher(found))
    return list(filter(None, sentences))


def _basis(found: Recommendation) -> list[str]:
    """Return on what the answer is based, or nothing if it is based on no repeat."""
    if found.at_chance or not found.tested_repeats:
        return []
    return [
        f"This rests on {_repeats(found)}{_sources(found)}, paired by seed, and on a margin of "
        f"{margin_in_words(found.margin, found.metric_info)} below which a difference does not matter."
    ]


def missing_lines(found: Recommendation) -> list[str]:
    """Return a line for everything that an answer lacks."""
    return [f"Missing: {one.what}." + (f" Add it with: {one.command}" if one.command else "") for one in found.missing]


def _answer(found: Recommendation) -> str:
    of = {one.strategy: one for one in (found.single, found.search, found.control, found.alone) if one}
    if found.use is None:
        return "There is no answer: no strategy has a tested model."
    use = _named(of[found.use])
    return {
        "search": f"A search is worth it: use {use}.",
        "one training": f"Use {use}; a search is not worth it.",
        "no teacher": f"Train without a teacher, with {use}.",
        "open": f"There is no answer yet; until then, use {use}.",
    }[found.advice]


def _repeats(found: Recommendation) -> str:
    """Return the number of repeats in words, and that of the study if some were not tested."""
    if found.tested_repeats != found.repeats:
        return f"{found.tested_repeats} of {counted(found.repeats, 'repeat')}"
    return counted(found.repeats, "repeat")


def _sources(found: Recommendation) -> str:
    """Return what differed between repeats, unless that is only the seeds of the trainings."""
    return f" over {sources_in_words(found.vary)}" if found.vary else ""


def _verdict(one: BaselineComparison, found: Recommendation) -> str:
    """Return a verdict in words; how many repeats would settle it is listed with what is missing."""
    return in_words(one, found.margin, found.metric_info).partition(":")[0]


def _named(one: ComparedStrategy) -> str:
    """Return the label of a strategy with the points that its repeats chose."""
    count = Counter(map(describe_choice, one.chosen))
    if not count or set(count) == {"-"}:
        return one.strategy
    if len(count) == 1:
        return f"{one.strategy} (tau {next(iter(count))})"
    taus = ", ".join(f"{tau} in {times}" for tau, times in count.most_common())
    return f"{one.strategy} (it chose tau {taus} of {counted(len(one.chosen), 'repeat')})"


def _of_search(
    found: Recommendation, gain: BaselineComparison, search: ComparedStrategy, single: ComparedStrategy
) -> str:
    text = (
        f"Searching with {search.strategy} ({counted(search.trials, 'training')}) "
        f"{_gains_over(found, gain, single)}{_for_energy(gain)} ({_verdict(gain, found)})"
    )
    if found.control is None or found.control_gain is None or found.search_over_control is None:
        return f"{text}." if gain.is_loss(found.metric_info) else f"{text}. How much of that is luck is not known."
    restarts = f"{counted(found.control.trials, 'restart')} of one training ({found.control.strategy})"
    luck = _gains(found, found.control_gain, plural=found.control.trials != 1)
    over = found.search_over_control
    return f"{text}; {restarts} {luck}, so the search itself {_gains(found, over)} ({_verdict(over, found)})."


def _gains(found: Recommendation, one: BaselineComparison, *, plural: bool = False) -> str:
    """Return how much better or worse a strategy is than another one, with a verb."""
    gain = one.difference and one.difference.gain(found.metric_info)
    ending = "" if plural else "s"
    if gain and one.is_loss(found.metric_info):
        return f"lose{ending} {points(-gain, found.metric_info)}"
    return f"gain{ending} {points(gain, found.metric_info, signed=True)}"


def _gains_over(found: Recommendation, one: BaselineComparison, other: ComparedStrategy) -> str:
    gains = f"{_gains(found, one)} {found.metric_info.difference_unit}".rstrip()
    return f"{gains} {'to' if one.is_loss(found.metric_info) else 'over'} {other.strategy}"


def _for_energy(gain: BaselineComparison) -> str:
    """Return the energy of a search in words: as run if its interval is known, otherwise for training only."""
    as_run, training = gain.energy_as_run, gain.energy_training
    ratio = as_run if as_run and (as_run.is_bounded or not (training and training.is_bounded)) else training
    if ratio is None:
        return ", for an energy that was not measured"
    text = f" for {significant(ratio.mean)} times the energy"
    if ratio.is_bounded:
        text += f" ({significant(ratio.low)} to {significant(ratio.high)})"
    return text if ratio is as_run else f"{text} of training"


def _of_teacher(found: Recommendation) -> str:
    gain = found.teacher_gain
    if gain is None or found.alone is None:
        return ""
    return (
        f"Distillation with {gain.strategy} {_gains_over(found, gain, found.alone)}{_for_energy(gain)}, without the "
        f"teacher's training ({_verdict(gain, found)})."
    )
