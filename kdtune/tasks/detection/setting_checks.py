"""Refuses settings of a study that are not for detection."""

from collections.abc import Iterator

from kdtune.errors import Fault
from kdtune.specs.study import Setting

#: Kinds of change that cannot be applied to boxes.
_NOT_FOR_BOXES = ("rotate",)


def setting_faults(setting: Setting) -> list[Fault]:
    """Return what is wrong with a study whose task is detection."""
    return [Fault("study", key, problem) for key, problem in _problems(setting)]


def _problems(setting: Setting) -> Iterator[tuple[str, str]]:
    if setting.data_info.annotations != "boxes":
        yield "dataset", f"{setting.dataset} has no boxes; name a data set with boxes, such as digits_on_canvases"
    for name in ("training", "teacher_training"):
        training = getattr(setting, name)
        if training.class_weights is not None:
            yield f"{name}.class_weights", "detection has no class weights; remove them"
        for kind in _NOT_FOR_BOXES:
            if kind in training.augment:
                yield f"{name}.augment", f"{kind!r} would leave boxes that do not fit; remove it"
