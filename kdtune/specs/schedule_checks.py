"""Whether what a training says of its epochs can come: milestones and warm-up that never apply are a slip."""

from kdtune.errors import Fault
from kdtune.specs.study import Study


def schedule_faults(study: Study, where: str) -> list[Fault]:
    """What of a study's two trainings would never apply.

    Not part of the model: a study that ran with such a schedule is still read as it ran.

    Args:
        study: Valid in itself.
        where: The file or flag that has it.
    """
    faults = []
    for name in ("training", "teacher_training"):
        training = getattr(study, name)
        milestones, epochs = training.milestones, training.epochs
        if list(milestones) != sorted(set(milestones)):
            faults.append(Fault(where, f"{name}.milestones", f"each has to be later than the last, got {milestones}"))
        elif milestones and milestones[-1] >= epochs:
            never = f"{milestones[-1]} never comes: the last of {epochs} epochs is {epochs - 1}, counted from 0"
            along = ", or use --epochs, which moves them along" if name == "training" else ""
            faults.append(Fault(where, f"{name}.milestones", f"{never}; set milestones too{along}"))
        if training.warmup_epochs > epochs:
            never = f"{training.warmup_epochs} epochs do not end within {epochs}"
            faults.append(Fault(where, f"{name}.warmup_epochs", f"{never}; set a shorter warm-up"))
    return faults
