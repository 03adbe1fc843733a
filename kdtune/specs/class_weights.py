"""Checks of the weights that a training gives to classes."""

from kdtune.errors import Fault
from kdtune.specs.study import Setting


def class_weight_faults(setting: Setting, where: str) -> list[Fault]:
    """Return the trainings of a study that do not have one weight for each class.

    Args:
        setting: Of which the data set's sizes are known.
        where: The file or flag that has it.
    """
    faults, classes = [], setting.data_info.classes
    for name in ("training", "teacher_training"):
        weights = getattr(setting, name).class_weights
        if isinstance(weights, tuple) and len(weights) != classes:
            problem = f"has {len(weights)} weights, and {setting.dataset} has {classes} classes"
            faults.append(Fault(where, f"{name}.class_weights", f'{problem}; give one for each class, or "balanced"'))
    return faults
