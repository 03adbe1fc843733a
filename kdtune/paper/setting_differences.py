"""Descriptions of differences between a run and the paper's setting."""

from contextlib import suppress

from pydantic import ValidationError

from kdtune.analysis.comparability import in_words
from kdtune.catalog.builtin import LOSSES, STRATEGIES, is_all_built_in, objectives_of
from kdtune.paper.printed_values import TEACHER, PaperStudy, paper_values
from kdtune.paper.study_runs import StrategyRun
from kdtune.planning.trial_plan import uses_teacher
from kdtune.specs.named_recipes import with_recipe
from kdtune.specs.study import DEFAULT_ALPHA, Study
from kdtune.specs.synthetic_data import synthetic_images
from kdtune.specs.temperature_range import HAS_RUN
from kdtune.specs.training import Training
from kdtune.storage.wording import counted

#: The temperatures of the paper's search.
PAPER_TAUS = tuple(range(2, 21))


def paper_study_of(study: Study) -> PaperStudy | None:
    """Return the paper's study of the same name; None without one, or if this study has other settings."""
    known = paper_values().studies.get(study.name)
    return known if known and not _other(study, known) else None


def misnamed(study: Study) -> str | None:
    """Describe how a study differs from the paper's study of the same name; None if it does not differ."""
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
    """Describe a reduced run, as in ``reduced run: 3 of 100 epochs, 5,000 of 50,000 images``; None if it is full.

    Args:
        run: A run of one of the paper's studies.
        strategy: :data:`TEACHER` for the teacher; any other value for the student.
    """
    parts = cuts(run, strategy)
    return f"reduced run: {', '.join(parts)}" if parts else None


def cuts(run: StrategyRun, strategy: str) -> list[str]:
    """Return a description of each reduction of a run; see :func:`reduced` for the arguments."""
    parts = []
    epochs, published = paper_values().epochs_of(run.study.name), run.study.data_info.train_images
    own, its = run.study.training.epochs, run.study.teacher_training.epochs
    if strategy != TEACHER and own < epochs:
        parts.append(f"{own} of {counted(epochs, 'epoch')}")
    if run.images < published and run.study.synthesis is None:
        parts.append(f"{run.images:,} of {published:,} images")
    if _depends_on_teacher(run.study, strategy) and not run.study.teacher_weights and its < epochs:
        parts.append(f"{its} of {epochs} epochs of the teacher")
    return parts


def departures(run: StrategyRun, strategy: str) -> list[str]:
    """Describe the changed settings of a run, apart from reductions, the most important first.

    Args:
        run: A run of one of the paper's studies.
        strategy: Label of the strategy, or :data:`TEACHER` for the teacher.
    """
    study, epochs = run.study, paper_values().epochs_of(run.study.name)
    found: list[str | None] = []
    if strategy != TEACHER and study.training.epochs > epochs:
        found.append(f"{counted(study.training.epochs, 'epoch')} instead of {epochs}")
    if _depends_on_teacher(study, strategy) and not study.teacher_weights and study.teacher_training.epochs > epochs:
        found.append(f"{counted(study.teacher_training.epochs, 'epoch')} of the teacher instead of {epochs}")
    if strategy != TEACHER:
        found.append(other_options(study, strategy))
    if strategy != TEACHER and uses_teacher(study, strategy):
        usual = LOSSES.facts_of(study.loss.name).get("default_alpha", DEFAULT_ALPHA)
        if study.alpha != usual and study.synthesis is None:
            found.append(f"alpha {study.alpha:g} instead of {usual:g}")
        found.append(other_space(study))
    usual_objective = objectives_of(study.task.name)[0].name
    if strategy != TEACHER and study.objective != usual_objective:
        found.append(f"objective {study.objective} instead of {usual_objective}")
    found += _loss_weights(study, strategy)
    if study.data.normalisation:
        mean, std = (", ".join(f"{one:g}" for one in part) for part in study.data.normalisation)
        found.append(f"images normalised by mean {mean} and std {std} instead of those of the training images")
    if study.numerics.precision == "bfloat16":
        found.append("networks computed in bfloat16 instead of float32")
    return [text for text in found if text]


def _loss_weights(study: Study, strategy: str) -> list[str]:
    """Describe the class weights with which a network, and the teacher behind it, were trained."""
    trainings = {} if strategy == TEACHER else {"": study.training}
    if _depends_on_teacher(study, strategy) and not study.teacher_weights:
        trainings[" of the teacher"] = study.teacher_training
    return [
        f"class_weights{whose} {in_words(training.class_weights)} instead of none"
        for whose, training in trainings.items()
        if training.class_weights is not None
    ]


def _depends_on_teacher(study: Study, strategy: str) -> bool:
    """Return whether a network is the teacher or was trained with one."""
    return strategy == TEACHER or uses_teacher(study, strategy)


def other_options(study: Study, label: str) -> str | None:
    """Describe the options of the strategy behind a label that differ from their defaults; None if none differs."""
    name, given = study.labelled(label)
    own, usual = given, {}
    if is_all_built_in(name, given):  # nothing else that a results folder names is imported
        model = STRATEGIES.load(name).options_model(given)
        with suppress(ValidationError):  # another release of kdtune may have had other options
            own = model.model_validate(given, context=HAS_RUN).model_dump()
            usual = {key: None if field.is_required() else field.default for key, field in model.model_fields.items()}
    # Without a scale, that of the search space applies, which other_space describes.
    apart = {
        key: value for key, value in own.items() if value != usual.get(key) and (key, value) != ("scale", "uniform")
    }
    changes = (
        f"{key} {value}" + ("" if usual.get(key) is None else f" instead of {usual[key]}")
        for key, value in apart.items()
    )
    return f"{label} with {', '.join(changes)}" if apart else None


def differences(run: StrategyRun, strategy: str) -> list[str]:
    """Describe all differences between a run and the paper's setting, the most important first.

    Args:
        run: A run of one of the paper's studies.
        strategy: Strategy of the row that the run fills, or :data:`TEACHER`.
    """
    found = [reduced(run, strategy), *departures(run, strategy)]
    if strategy != TEACHER and run.result.status != "completed":
        found.append(f"not finished ({run.result.status})")
    return [*(text for text in found if text), *protocol(run, strategy)]


def protocol(run: StrategyRun, strategy: str) -> list[str]:
    """Describe differences from the paper in training and evaluation, apart from :func:`departures`.

    Args:
        run: A run of one of the paper's studies.
        strategy: Label of the strategy, or :data:`TEACHER` for the teacher.
    """
    study, found = run.study, []
    training = study.teacher_training if strategy == TEACHER else study.training
    if not (strategy == TEACHER and study.teacher_weights):
        known = paper_values().studies.get(study.name)
        found.append((known and known.recipe) or _recipe(training))
    if _depends_on_teacher(study, strategy) and study.teacher_weights:
        found.append("the teacher's weights were given, so it was not trained here")
    if strategy != TEACHER and uses_teacher(study, strategy) and study.teacher_logits == "replay":
        found.append("the teacher's logits were computed once per repeat; the paper ran the teacher in each step")
    if study.synthesis and strategy != TEACHER:
        train, held_out = synthetic_images(study)
        chosen = f"agreement with the teacher on {held_out:,} others"
        by = chosen if study.selection == "synthetic" else "real validation images, which contradicts the name"
        return [*found, f"{train:,} images from the teacher, made once for all trainings; tau chosen by {by}"]
    held = run.images * study.validation if isinstance(study.validation, float) else study.validation
    found.append(
        f"hold-out: {held:,.0f} of {run.images:,} training images for validation, and the last epoch tested once; "
        "the paper holds out none, and its released code selects the best epoch on the test images"
    )
    return found


def _recipe(training: Training) -> str:
    """Describe which of the paper's two recipes was used, or the differences from that of the released code."""
    descriptions = {
        "paper-code": "trained as the released code does (SGD), not as the text says (Adam)",
        "paper-text": "trained as the text says (Adam), not as the released code does (SGD)",
    }
    apart = {}
    for name in descriptions:
        model = Training(**with_recipe({"recipe": name})).scaled_to(training.epochs)
        own, its = training.model_dump(), model.model_dump()
        apart[name] = [f"{key} {in_words(own[key])}" for key in its if key != "batch_size" and own[key] != its[key]]
        if not apart[name]:
            return descriptions[name]
    return f"trained differently from the released code: {', '.join(apart['paper-code'])}"


def other_space(study: Study) -> str | None:
    """Describe how the search space differs from the paper's 2 to 20; None if it does not differ."""
    if not study.search_space.is_finite:
        return "tau from an interval without steps"
    others = [name for name in study.search_space if name != "tau"]
    if others:
        return f"{', '.join(others)} searched too"
    taus, found = study.search_space["tau"].points(), []
    if tuple(taus) != PAPER_TAUS:
        whole = f"{len(PAPER_TAUS)} from 2 to 20"
        found.append(f"{counted(len(taus), 'temperature')} from {min(taus):g} to {max(taus):g} instead of {whole}")
    if study.search_space["tau"].log:
        found.append("tau on a logarithmic scale, so small ones are drawn more often")
    return ", ".join(found) or None
