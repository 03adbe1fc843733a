"""How a run differs from what the paper did: what a reader has to know before holding the two side by side."""

from contextlib import suppress

from pydantic import ValidationError

from kdtune.analysis.comparability import in_words
from kdtune.catalog.builtin import LOSSES, STRATEGIES
from kdtune.paper.printed_values import TEACHER, PaperStudy, paper_values
from kdtune.paper.study_runs import StrategyRun
from kdtune.planning.trial_plan import uses_teacher
from kdtune.specs.named_recipes import with_recipe
from kdtune.specs.study import DEFAULT_ALPHA, Study, Training
from kdtune.specs.temperature_range import HAS_RUN

#: The temperatures of the paper's search.
PAPER_TAUS = tuple(range(2, 21))


def paper_study_of(study: Study) -> PaperStudy | None:
    """The paper's study of that name; None where there is none, or this is another one under its name."""
    known = paper_values().studies.get(study.name)
    return known if known and not _other(study, known) else None


def misnamed(study: Study) -> str | None:
    """What makes a study another one than the paper's of its name, in words; None where nothing does."""
    known = paper_values().studies.get(study.name)
    return _other(study, known) if known else None


def _other(study: Study, known: PaperStudy) -> str | None:
    pairs = {
        "dataset": (str(study.dataset), known.dataset),
        "teacher": (str(study.teacher), known.teacher),
        "student": (str(study.student), known.student),
        "loss": (str(study.loss), known.loss),
        "batch_size": (study.training.batch_size, known.batch_size),
    }
    return ", ".join(f"{key} {own!r} instead of {its!r}" for key, (own, its) in pairs.items() if own != its) or None


def reduced(run: StrategyRun, strategy: str) -> str | None:
    """Whether it was cut short, in words such as ``reduced run: 3 of 100 epochs, 5,000 of 50,000 images``.

    Args:
        run: Of one of the paper's studies.
        strategy: Which network is meant: :data:`TEACHER`, or the student for any other.
    """
    parts = cuts(run, strategy)
    return f"reduced run: {', '.join(parts)}" if parts else None


def cuts(run: StrategyRun, strategy: str) -> list[str]:
    """In what a run was cut short, each in words; arguments as of :func:`reduced`."""
    parts = []
    epochs, published = paper_values().epochs, run.study.data_info.train_images
    own, its = run.study.training.epochs, run.study.teacher_training.epochs
    if strategy != TEACHER and own < epochs:
        parts.append(f"{own} of {epochs} epochs")
    if run.images < published:
        parts.append(f"{run.images:,} of {published:,} images")
    if _depends_on_teacher(run.study, strategy) and not run.study.teacher_weights and its < epochs:
        parts.append(f"{its} of {epochs} epochs of the teacher")
    return parts


def departures(run: StrategyRun, strategy: str) -> list[str]:
    """In what a run was changed, apart from being :func:`reduced`, in words, the gravest first.

    Args:
        run: Of one of the paper's studies.
        strategy: Its label, or :data:`TEACHER` for the network that taught.
    """
    study, epochs = run.study, paper_values().epochs
    found: list[str | None] = []
    if strategy != TEACHER and study.training.epochs > epochs:
        found.append(f"{study.training.epochs} epochs instead of {epochs}")
    if _depends_on_teacher(study, strategy) and not study.teacher_weights and study.teacher_training.epochs > epochs:
        found.append(f"{study.teacher_training.epochs} epochs of the teacher instead of {epochs}")
    if strategy != TEACHER:
        found.append(other_options(study, strategy))
    if strategy != TEACHER and uses_teacher(study, strategy):
        usual = LOSSES.facts_of(study.loss.name).get("default_alpha", DEFAULT_ALPHA)
        if study.alpha != usual:
            found.append(f"alpha {study.alpha:g} instead of {usual:g}")
        found.append(other_space(study))
    if study.numerics.precision == "bfloat16":
        found.append("networks computed in bfloat16 instead of float32")
    return [text for text in found if text]


def _depends_on_teacher(study: Study, strategy: str) -> bool:
    """Whether a network is the teacher, or was trained under one."""
    return strategy == TEACHER or uses_teacher(study, strategy)


def other_options(study: Study, label: str) -> str | None:
    """Which options of the strategy behind a label are not the usual ones, in words; None where all are."""
    name, given = study.labelled(label)
    own, usual = given, {}
    if name in STRATEGIES:
        model = STRATEGIES.load(name).options_model(given)
        with suppress(ValidationError):  # else they are those of a component that is not installed here
            own = model.model_validate(given, context=HAS_RUN).model_dump()
            usual = {key: None if field.is_required() else field.default for key, field in model.model_fields.items()}
    # A scale that is left out is the search space's own, of which other_space tells.
    apart = {
        key: value for key, value in own.items() if value != usual.get(key) and (key, value) != ("scale", "uniform")
    }
    told = (
        f"{key} {value}" + ("" if usual.get(key) is None else f" instead of {usual[key]}")
        for key, value in apart.items()
    )
    return f"{label} with {', '.join(told)}" if apart else None


def differences(run: StrategyRun, strategy: str) -> list[str]:
    """Everything in which a run departs from the paper's setting, in words, the gravest first.

    Args:
        run: Of one of the paper's studies.
        strategy: The row that it fills: a strategy's name or :data:`TEACHER`.
    """
    found = [reduced(run, strategy), *departures(run, strategy)]
    if strategy != TEACHER and run.result.status != "completed":
        found.append(f"not finished ({run.result.status})")
    return [*(text for text in found if text), *protocol(run, strategy)]


def protocol(run: StrategyRun, strategy: str) -> list[str]:
    """How a run was trained and judged otherwise than the paper did it, apart from :func:`departures`, in words.

    Args:
        run: Of one of the paper's studies.
        strategy: Its label, or :data:`TEACHER` for the network that taught.
    """
    study, found = run.study, []
    training = study.teacher_training if strategy == TEACHER else study.training
    if not (strategy == TEACHER and study.teacher_weights):
        found.append(_recipe(training))
    if _depends_on_teacher(study, strategy) and study.teacher_weights:
        found.append("the teacher's weights were given, so it was not trained here")
    if strategy != TEACHER and uses_teacher(study, strategy) and study.teacher_logits == "replay":
        found.append("the teacher was asked once a repeat and its answers were looked up; the paper asked in each step")
    held = run.images * study.validation if isinstance(study.validation, float) else study.validation
    found.append(
        f"hold-out: {held:,.0f} of {run.images:,} training images kept for choosing, and the last epoch tested once; "
        "the paper holds out none and its released code keeps the best epoch on the test images"
    )
    return found


def _recipe(training: Training) -> str:
    """In words, which of the paper's two recipes it is, or what sets it apart from the released code's."""
    said = {
        "paper-code": "trained as the released code does (SGD), not as the text says (Adam)",
        "paper-text": "trained as the text says (Adam), not as the released code does (SGD)",
    }
    apart = {}
    for name in said:
        model = Training(**with_recipe({"recipe": name})).scaled_to(training.epochs)
        own, its = training.model_dump(), model.model_dump()
        apart[name] = [f"{key} {in_words(own[key])}" for key in own if key != "batch_size" and own[key] != its[key]]
        if not apart[name]:
            return said[name]
    return f"trained otherwise than the released code does: {', '.join(apart['paper-code'])}"


def other_space(study: Study) -> str | None:
    """How the values that are searched differ from the paper's 2 to 20, in words; None where they do not."""
    if not study.search_space.is_finite:
        return "tau from an interval without steps"
    others = [name for name in study.search_space if name != "tau"]
    if others:
        return f"{', '.join(others)} searched too"
    taus, found = study.search_space["tau"].points(), []
    if tuple(taus) != PAPER_TAUS:
        whole = f"{len(PAPER_TAUS)} from 2 to 20"
        found.append(f"{len(taus)} temperatures from {min(taus):g} to {max(taus):g} instead of {whole}")
    if study.search_space["tau"].log:
        found.append("tau on a logarithmic scale, so small ones are drawn more often")
    return ", ".join(found) or None
