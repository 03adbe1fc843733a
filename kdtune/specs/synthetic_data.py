"""Settings of studies without data, whose training images are made from the teacher."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from kdtune.catalog.builtin import DEFAULT_TASK
from kdtune.catalog.builtin_syntheses import SYNTHESES
from kdtune.errors import Fault, UsageError
from kdtune.specs.component import Component
from kdtune.specs.study import Setting, Study
from kdtune.specs.validation_messages import faults_of


def settle_synthesis(table: dict[str, Any], where: str) -> list[Fault]:
    """Validate the options of a study's synthesis and fill in those that are left out, in place.

    The study then holds everything that its images depend on.

    Args:
        table: The study with resolved components, not validated yet.
        where: The file of the study.
    """
    component = table.get("synthesis")
    if not isinstance(component, Component):
        return []
    try:
        kind = SYNTHESES.load(component.name, component.digest)
    except UsageError as error:
        return [Fault(where, "synthesis", str(error))]
    model = getattr(kind, "Options", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        problem = f"{component} has to be a class derived from kdtune.synthesis.base.Synthesizer"
        return [Fault(where, "synthesis", problem)]
    try:
        options = model.model_validate(component.options)
    except ValidationError as error:
        return faults_of(error, model, where, "synthesis")
    if getattr(options, "trial_batches", 0):
        if table.get("teacher_logits") == "replay":
            problem = "each trial makes images of its own, for which no logits can be stored; set live, or leave it out"
            return [Fault(where, "teacher_logits", problem)]
        data = table.get("data")
        if isinstance(data, Mapping) and data.get("resident") is False:
            problem = "images that a trial makes stay on the device; leave resident out, or set synthesis.adv = 0"
            return [Fault(where, "data.resident", problem)]
        table["teacher_logits"] = "live"
    filled = options.model_dump(mode="json", exclude_none=True)
    table["synthesis"] = component.model_copy(update={"options": filled})
    return []


def synthesis_faults(study: Study, where: str) -> list[Fault]:
    """Return what of a study cannot be combined with synthetic images.

    Args:
        study: A validated study.
        where: The file or flag that holds it, for messages.
    """
    if study.synthesis is None:
        problem = 'is for studies with a [synthesis]; a study on real images selects by "validation"'
        return [Fault(where, "selection", problem)] if study.selection == "synthetic" else []
    faults = []
    if study.task.name != DEFAULT_TASK:
        problem = f"images are made for classes, so the task has to be {DEFAULT_TASK!r}"
        faults.append(Fault(where, "task", problem))
    if study.data.train_limit is not None:
        problem = "selects real training images, of which this study uses none; give synthesis.images"
        faults.append(Fault(where, "data.train_limit", problem))
    if "alpha" in study.search_space:
        problem = "alpha cannot be searched: synthetic images have no labels, so alpha has to be 1"
        faults.append(Fault(where, "search_space.alpha", problem))
    if study.vary:
        problem = "all repeats of a study on synthetic images use the same images, of one teacher; leave vary out"
        faults.append(Fault(where, "vary", problem))
    return faults


def synthetic_images(setting: Setting) -> tuple[int, int]:
    """Return how many synthetic images a student is trained on, and how many are held out."""
    assert setting.synthesis is not None
    images, held_out = (int(setting.synthesis.options[key]) for key in ("images", "held_out"))
    return images - held_out, held_out


def trial_images(setting: Setting) -> int:
    """Return how many images each trial makes against its own student before each epoch; 0 for most studies."""
    if setting.synthesis is None:
        return 0
    kind = SYNTHESES.load(setting.synthesis.name, setting.synthesis.digest)
    options = kind.Options.model_validate(setting.synthesis.options)
    return int(options.trial_batches * options.batch_size)
