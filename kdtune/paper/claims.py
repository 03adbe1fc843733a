"""The paper's claims, and one about its subject, their sources, and verdicts from results, study by study."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdtune.paper import claim_tests as tests
from kdtune.paper import dynamic_claims as dynamic
from kdtune.paper.cost_claim import COST_HIGH, COST_LOW, LIVE_TEACHER, cost, cost_without_data
from kdtune.paper.evidence import Evidence
from kdtune.paper.study_pairing import why_unpaired
from kdtune.paper.study_runs import StudyRun, by_study, read_runs
from kdtune.results.source_commit import commit
from kdtune.results.strategy_result import SCHEMA_VERSION

_HKD = ("cifar10-hkd", "cifar100-hkd", "tinyimagenet-hkd")

_TABLE_7 = (
    "tinyimagenet-hkd-shufflenet-shufflenet",
    "tinyimagenet-hkd-shufflenet-resnet18",
    "tinyimagenet-hkd-resnet18-resnet18",
)

_DATA_FREE = ("cifar10-cmi", "cifar10-deep-inversion", "cifar100-cmi", "cifar100-deep-inversion")

_NINETEEN = (
    f"supported if the 95% interval of the ratio lies within a tenth of 19 to 20, {COST_LOW:.1f} to {COST_HIGH:.1f}, "
    "contradicted if all of it lies outside"
)

_NO_WORSE = (
    "supported if the 95% interval of the difference of test accuracy is above -0.5 points, contradicted if all of it "
    "is below"
)

_OR_BETTER = "The paper says 'similarly or, at times, better': a better result does not contradict it."

_MATCHES = (
    "supported if the 95% interval of the difference of test accuracy lies within 0.5 points of zero, contradicted if "
    "all of it lies outside"
)

_BETTER = (
    "supported if the 95% interval of the gain in test accuracy is above zero, contradicted if it is below 0.5 points, "
    "so that any gain is too small to matter"
)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, or of another one about its subject.

    Attributes:
        id: A short name.
        text: The claim in our words.
        where: Source in the paper.
        rule: Description of the rule for the verdict.
        studies: The paper's studies that test the claim; empty if kdtune has none.
        strategies: Strategies that must be run.
        test: Returns evidence from the studies that were run.
        remark: Additional remark; may be empty.
        settings: Settings that a study needs, in the form of ``--set``.
        example: The study that a user is told to run if kdtune has none of the paper for the claim.
        why_unpaired: For a claim about pairs of studies, returns why the studies that were run form no pair.
    """

    id: str
    text: str
    where: str
    rule: str
    studies: tuple[str, ...]
    strategies: tuple[str, ...]
    test: Callable[[Sequence[StudyRun]], list[Evidence]]
    remark: str = ""
    settings: tuple[str, ...] = ()
    example: str = "digits-hkd"
    why_unpaired: Callable[[Sequence[StudyRun]], str] | None = None


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "hkd-matches",
        "With HKD, a tau drawn for each batch does as well as a tuned one.",
        "abstract; Main results, Classification (1) and (5); Tables 1, 4 and 7",
        _NO_WORSE,
        (*_HKD, *_TABLE_7),
        ("grid", "stochastic"),
        tests.accuracy("stochastic", "grid", tests.no_worse, ("hkd",)),
        _OR_BETTER,
    ),
    Claim(
        "dml-matches",
        "With DML, a tau drawn for each batch does as well as a tuned one.",
        "Main results, Classification (1) and (5); Table 4",
        _NO_WORSE,
        ("cifar10-dml", "cifar100-dml", "tinyimagenet-dml"),
        ("grid", "stochastic"),
        tests.accuracy("stochastic", "grid", tests.no_worse, ("dml",)),
        _OR_BETTER,
    ),
    Claim(
        "cmc-gains",
        "With CMC, a tuned tau does better than one drawn for each batch.",
        "Main results, Classification (1), (4) and (5); Table 4",
        _BETTER,
        ("cifar10-cmc", "cifar100-cmc", "tinyimagenet-cmc"),
        ("grid", "stochastic"),
        tests.accuracy("grid", "stochastic", tests.better, ("cmc",)),
    ),
    Claim(
        "cost",
        "Tuning takes 19 to 20 times the energy of a tau drawn for each batch.",
        "abstract (19, CIFAR-10, HKD); Main results, Classification (4) (20, CIFAR-10, CMC); Table 4",
        _NINETEEN,
        ("cifar10-hkd", "cifar10-cmc"),
        ("grid", "stochastic"),
        cost,
        "The paper metered training only; 'as run' includes start-up and idle power. If repeats share more than a "
        "tenth of either energy, the ratio is shown without a verdict.",
        settings=(LIVE_TEACHER,),
    ),
    Claim(
        "random-unsuitable",
        "Random search is unsuitable for tau.",
        "Stochastic solution, Grid vs. random search; no figures are given",
        "supported if the 95% interval of the gain of grid over random search in test accuracy is above 0.5 points, "
        "contradicted if it is below that",
        _HKD,
        ("grid", "random"),
        tests.grid_or_random,
        "Random search must try more than one point and fewer points than the grid.",
    ),
    Claim(
        "stronger-teacher",
        "A stronger (larger) teacher needs a higher tau.",
        "Solution using knowledge distillation; Stochastic solution, Our proposal; no figures are given",
        "supported if the 95% interval of the increase of the tau that grid chooses is above zero, contradicted if it "
        "is below one step",
        ("tinyimagenet-hkd", *_TABLE_7),
        ("grid",),
        tests.stronger_teacher,
        "Paired studies differ in the teacher only; more multiply-adds count as stronger.",
        why_unpaired=why_unpaired("grid", *tests.TEACHER_KEYS),
    ),
    Claim(
        "batch-size",
        "With a tau drawn for each batch, the batch size does not matter.",
        "Stochastic solution, Our proposal; Figure 3b, whose data set the caption leaves open",
        _MATCHES,
        ("cifar100-hkd", "cifar100-hkd-batch-32", "cifar100-hkd-batch-64", "cifar100-hkd-batch-256"),
        ("stochastic",),
        tests.batch_size,
        "Paired studies differ in the batch size only.",
        why_unpaired=why_unpaired("stochastic", "training.batch_size"),
    ),
    Claim(
        "second-best",
        "A tau drawn for each batch does better than the second-best tau.",
        "Data-free knowledge distillation results; no figure of a second-best tau is given",
        "supported if the 95% interval of the gain of the tau drawn for each batch on the validation images is above "
        "zero, contradicted if it is below 0.5 points, so that any gain is too small to matter",
        (),
        ("grid", "stochastic"),
        tests.second_best,
        "The paper claims this for data-free distillation (Table 6); here it is tested with HKD, with or without data. "
        "Without data, accuracy on validation images is agreement with the teacher. The second-best tau is determined "
        "from the other repeats, but on the same validation images, so their peculiarities favour it. Only the best "
        "tau is evaluated on the test images.",
    ),
    Claim(
        "kd-beats-alone",
        "A student that is distilled with a tuned tau does better than one trained alone.",
        "Energy estimation; Table 1",
        _BETTER,
        _HKD,
        ("grid", "none"),
        tests.accuracy("grid", "none", tests.better, ("hkd",)),
    ),
    Claim(
        "dynamic-not-worth-it",
        "Dynamic temperatures are not worth their energy.",
        "the paper dismisses them as costly; no figures are given",
        "supported if the 95% interval of a method's gain in test accuracy over a tau drawn for each batch, less 1 "
        "point for each doubling of the energy, is below 0.5 points, contradicted if it is above",
        (),
        ("dts", "stochastic"),
        dynamic.not_worth_their_energy,
        "Every method with a tau that moves during a training or differs between images is compared by itself. What "
        "its authors spent on tuning it is charged to nobody.",
        example="digits-dynamic",
    ),
    Claim(
        "none-beats-fixed",
        "No dynamic temperature beats one fixed tau, shared by both networks, consistently.",
        "arXiv 2603.02430, a comparison of such methods for tau from 1 to 40; not the paper",
        "a method beats the fixed tau in a study if its test accuracy is better by the tests of kdtune compare, with "
        "Holm's correction over the methods of the study, and does not if the 95% interval of its gain is below 0.5 "
        "points; supported where it does not, contradicted if it does in every study, of which there are at least two",
        (),
        ("dts", "fixed"),
        dynamic.none_beats_fixed,
        "Every method with a tau that moves during a training or differs between images is compared by itself, under "
        "the settings of its study. A fall along a cosine is the control of such methods and is not compared.",
        example="digits-dynamic",
    ),
    Claim(
        "data-free-cost",
        "Without data, tuning takes 19 times the energy of a tau drawn for each batch.",
        "Data-free knowledge distillation results; Table 6, whose GFLOPs fit training alone",
        _NINETEEN,
        _DATA_FREE,
        ("grid", "stochastic"),
        cost_without_data,
        "The images are made once for all trainings, and both strategies are charged for all of them, but not under "
        "'training only'. What belongs to no single repeat was measured once, so it is taken to be known within a "
        "factor of 2.",
        settings=(LIVE_TEACHER,),
        example="digits-data-free",
    ),
)


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its evidence.

    Attributes:
        claim: The claim.
        evidence: Evidence from each study that tests the claim, the paper's studies first.
        not_run: The paper's studies that contribute no evidence and lack a strategy that the claim needs.
        unpaired: Reason why studies that were run give no evidence; otherwise empty.
    """

    claim: Claim
    evidence: tuple[Evidence, ...]
    not_run: tuple[str, ...]
    unpaired: str = ""

    @property
    def to_type(self) -> str | None:
        """Command that runs the first missing study; None if nothing is missing."""
        if not self.not_run and (self.evidence or self.unpaired):
            return None
        study = self.not_run[0] if self.not_run else self.claim.example
        words = [*(f"-s {name}" for name in self.claim.strategies), *(f"--set {one}" for one in self.claim.settings)]
        return f"kdtune study {study} " + " ".join(words)

    def as_json(self) -> dict[str, Any]:
        """Return the claim as a record. Studies that were not run are evidence with the verdict ``not run``."""
        claim = self.claim
        return {
            "name": claim.id,
            "text": claim.text,
            "where": claim.where,
            "rule": claim.rule,
            "remark": claim.remark,
            "evidence": [
                *(one.as_json() for one in self.evidence),
                *({"studies": [name], "is_papers": True, "verdict": "not run"} for name in self.not_run),
            ],
            "unpaired": self.unpaired or None,
            "to_type": self.to_type,
        }


def judge_claims(places: Sequence[str | Path] | None = None) -> list[JudgedClaim]:
    """Judge the paper's claims by results.

    Args:
        places: Folders with results of any studies; by default ``./results``, which need not exist.

    Raises:
        ResultsError: None of the folders has results, or they are damaged.
    """
    studies = by_study(read_runs(places))
    return [_judge(claim, studies) for claim in CLAIMS]


def claims_as_json(claims: Sequence[JudgedClaim]) -> dict[str, Any]:
    """Return the document that ``claims --json`` prints, with the commit of this version of kdtune."""
    return {"schema_version": SCHEMA_VERSION, "commit": commit(), "claims": [claim.as_json() for claim in claims]}


def _judge(claim: Claim, studies: Sequence[StudyRun]) -> JudgedClaim:
    # A study of the paper counts as the paper's evidence only for the claims that the paper derives from it.
    found = [
        replace(one, is_papers=one.is_papers and set(one.studies) <= set(claim.studies)) for one in claim.test(studies)
    ]
    evidence = sorted(found, key=lambda one: not one.is_papers)
    there = {name for one in evidence if one.is_papers for name in one.studies}
    there |= {one.study.name for one in studies if set(claim.strategies) <= one.strategies.keys()}
    apart = claim.why_unpaired(studies) if claim.why_unpaired and not evidence else ""
    return JudgedClaim(claim, tuple(evidence), tuple(name for name in claim.studies if name not in there), apart)
