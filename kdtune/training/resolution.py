"""Resolution of a strategy's suggestion and a study to everything that one training depends on.

This module does not import torch, because plans are made without it.
"""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError

from kdtune.catalog.builtin import DEFAULT_TEMPERATURE, LOSSES, TEMPERATURES, WITHOUT_TEACHER, is_method
from kdtune.catalog.catalog import Catalog
from kdtune.errors import Fault, SpecError
from kdtune.methods.base import Options
from kdtune.specs.component import Component
from kdtune.specs.meta_part import MetaPart
from kdtune.specs.quantisation import Quantisation
from kdtune.specs.study import Setting, Study
from kdtune.specs.suggestion import Suggestion
from kdtune.specs.temperature_range import HAS_RUN
from kdtune.specs.training import MAX_EPOCHS
from kdtune.specs.trial_spec import Phase, Recipe, TrialSpec
from kdtune.specs.validation_messages import faults_of
from kdtune.temperature.loading import policy_class, resolved_options
from kdtune.training.label_needs import label_fault

#: Searched values that belong to the student's training and not to its method or temperature.
_OF_TRAINING = ("learning_rate", "weight_decay")

#: A temperature for trainings whose outcome does not matter.
_ANY_TAU = 4.0


def resolved_trial(study: Study, suggestion: Suggestion, seed: int, start: str | None = None) -> TrialSpec:
    """Return everything that the training of a suggestion depends on.

    Args:
        study: The study, with all settings resolved.
        suggestion: The suggestion of a strategy.
        seed: Seed of the repeat.
        start: Identity of the trial with whose student the training begins; None for untrained weights.

    Raises:
        SpecError: The suggestion names an unknown component or unknown options.
    """
    setting = study.of_repeat(seed).setting
    return TrialSpec(setting=setting, recipe=resolved_recipe(study, suggestion), seed=seed, start=start)


def resolved_recipe(study: Study, suggestion: Suggestion) -> Recipe:
    """Return the recipe of the student of a suggestion: the study's values, except those that the suggestion gives.

    Raises:
        SpecError: As for :func:`resolved_trial`; or the training needs labels, and the study's images have none.
    """
    recipe = _recipe(study, suggestion)
    if study.synthesis and (fault := label_fault(recipe)):
        raise SpecError([fault])
    return recipe


def _recipe(study: Study, suggestion: Suggestion) -> Recipe:
    if problems := suggestion.value_problems():
        raise SpecError([Fault("point", key, problem) for key, problem in problems.items()])
    method = _found(LOSSES, suggestion.method) if suggestion.method else study.loss
    needs_teacher = bool(LOSSES.facts_of(method.name).get("needs_teacher", True))
    method = _with_valid_options(method, needs_teacher=needs_teacher, searched=suggestion.values)
    if needs_teacher and suggestion.longer != 1:
        problem = "is possible only for a loss without a teacher; a teacher's logits cover only the study's epochs"
        raise SpecError([Fault("point", "longer", problem)])
    if suggestion.longer * study.training.epochs > MAX_EPOCHS:
        raise SpecError(
            [Fault("point", "longer", f"has more than {MAX_EPOCHS:,} epochs in all, got {suggestion.longer}")]
        )
    training = study.training.longer_by(suggestion.longer).model_copy(
        update={key: float(suggestion.values[key]) for key in _OF_TRAINING if key in suggestion.values}
    )
    method = _method(study, suggestion, method) if needs_teacher else method
    phases = _phases(suggestion, method, training.epochs)
    quantisation = suggestion.quantisation
    temperature = _temperature(study, suggestion) if needs_teacher and not phases else None
    return Recipe(
        model=study.student,
        training=quantisation.shortened(training) if quantisation else training,
        method=method,
        temperature=temperature,
        needs_teacher=needs_teacher,
        restart=suggestion.restart,
        phases=phases,
        meta=_meta_part(temperature) if temperature else None,
        quantisation=quantisation,
    )


def _meta_part(temperature: Component) -> MetaPart | None:
    policy = TEMPERATURES.load(temperature.name, temperature.digest)
    found: MetaPart | None = policy.meta_part(policy.Options.model_validate(temperature.options, context=HAS_RUN))
    return found


def _phases(suggestion: Suggestion, method: Component, epochs: int) -> tuple[Phase, ...]:
    """Return the phases of a built-in method; empty if it has none.

    Raises:
        SpecError: The suggestion has values that would have no effect in them, or there are too few epochs.
    """
    if not is_method(method.name):
        return ()
    phases: tuple[Phase, ...] = LOSSES.load(method.name).phases(method.options, epochs)
    ignored = [key for key in suggestion.values if key not in _OF_TRAINING]
    if suggestion.temperature:
        ignored.append("temperature")
    if phases and ignored:
        problem = f"has no effect under {method.name!r}, whose phases have losses and temperatures of their own"
        remedy = f"use -s {method.name}, and give the study another loss if it names this one"
        raise SpecError([Fault("point", key, f"{problem}; {remedy}") for key in ignored])
    return phases


def _method(study: Study, suggestion: Suggestion, method: Component) -> Component:
    alpha = float(suggestion.values.get("alpha", study.alpha))
    return method.model_copy(update={"options": {"alpha": alpha, **method.options}})


def _with_valid_options(method: Component, *, needs_teacher: bool, searched: Mapping[str, float]) -> Component:
    """Return a built-in loss with validated options; the options of other losses are validated when they are loaded.

    Raises:
        SpecError: The loss does not have an option, or has no use for a searched value.
    """
    if method.name not in LOSSES:
        return method
    if is_method(method.name):
        return _with_own_options(method, searched)
    if unknown := [key for key in method.options if not (needs_teacher and key == "alpha")]:
        known = "its only option is alpha" if needs_teacher else "it has none"
        problem = f"is no option of loss {method.name!r}; {known}"
        raise SpecError([Fault("point", key, problem) for key in unknown])
    return method


def _with_own_options(method: Component, searched: Mapping[str, float]) -> Component:
    """Return a method with all of its options; see :mod:`kdtune.methods.base`."""
    given = {key: value for key, value in method.options.items() if key != "alpha"}
    model: type[Options] = LOSSES.load(method.name).Options
    try:
        options = model.model_validate(given)
    except ValidationError as error:
        raise SpecError(faults_of(error, model, "point")) from None
    if options.ignores_alpha and "alpha" in searched:
        problem = f"has no effect under {method.name!r}, whose weights are the options weight and label_weight"
        raise SpecError([Fault("point", "alpha", problem)])
    alpha = {key: value for key, value in method.options.items() if key == "alpha"}
    return method.model_copy(update={"options": {**alpha, **options.model_dump(mode="json", exclude_none=True)}})


def _temperature(study: Study, suggestion: Suggestion) -> Component:
    """Return the suggested temperature with validated options, of which none is left open."""
    given = _found(TEMPERATURES, suggestion.temperature or Component(name=DEFAULT_TEMPERATURE))
    model = policy_class(given.name, given.digest).Options
    searched = {key: value for key, value in suggestion.values.items() if key not in (*_OF_TRAINING, "alpha")}
    try:
        options = model.model_validate({**searched, **given.options})
    except ValidationError as error:
        faults = faults_of(error, model, "point")
        if suggestion.temperature is None:  # a point with neither a tau nor a temperature
            hint = f"is missing: give one, or name a temperature: {', '.join(TEMPERATURES)}"
            faults = [replace(fault, problem=hint) if fault.problem == "is missing" else fault for fault in faults]
        raise SpecError(faults) from None
    resolved = resolved_options(given, options, study.search_space)
    return given.model_copy(update={"options": resolved.model_dump(mode="json", exclude_none=True)})


def _found(catalog: Catalog, component: Component) -> Component:
    """Return a suggested component with its digest.

    Raises:
        SpecError: There is no such component.
    """
    try:
        return component.model_copy(update={"digest": catalog.resolve(component.name).digest})
    except ValueError as error:
        raise SpecError([Fault("point", catalog.kind, str(error))]) from None


def representative_recipe(study: Study, *, with_teacher: bool, quantised: Quantisation | None = None) -> Recipe:
    """Return the recipe of an arbitrary student of a study, for steps that are only timed or compiled.

    Args:
        study: The study.
        with_teacher: Whether to use the study's loss at a fixed temperature; otherwise only the labels are used.
        quantised: How a student without a teacher is quantised; None for a float one.
    """
    alone = Suggestion(method=Component(name=WITHOUT_TEACHER), quantisation=quantised)
    return resolved_recipe(study, Suggestion(values={"tau": _ANY_TAU})) if with_teacher else _recipe(study, alone)


def teacher_recipe(setting: Setting) -> Recipe:
    """Return the recipe of a study's teacher, which is trained on the labels."""
    return Recipe(model=setting.teacher, training=setting.teacher_training, method=Component(name=WITHOUT_TEACHER))
