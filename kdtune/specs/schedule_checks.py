"""Checks that the milestones and the warm-up of a training lie within its epochs."""

from kdtune.errors import Fault
from kdtune.specs.study import Study
from kdtune.storage.wording import counted


def schedule_faults(study: Study, where: str) -> list[Fault]:
    """Return faults for milestones and warm-ups of a study's trainings that would have no effect.

    These checks are not part of the model, so that a study that ran with such a schedule can still be read.

    Args:
        study: A validated study.
        where: The file or flag that holds it, for messages.
    """
    faults = []
    for name in ("training", "teacher_training"):
        training = getattr(study, name)
        milestones, epochs = training.milestones, training.epochs
        if list(milestones) != sorted(set(milestones)):
            faults.append(
                Fault(where, f"{name}.milestones", f"each has to be later than the one before, got {milestones}")
            )
        elif milestones and milestones[-1] >= epochs:
            last = f"the last of {counted(epochs, 'epoch')} is {epochs - 1}, counted from 0"
            problem = f"{milestones[-1]} is never reached: {last}"
            scaling = ", or use --epochs, which changes them in proportion" if name == "training" else ""
            faults.append(Fault(where, f"{name}.milestones", f"{problem}; set milestones too{scaling}"))
        if training.warmup_epochs > epochs:
            problem = f"a warm-up of {counted(training.warmup_epochs, 'epoch')} does not end within {epochs}"
            faults.append(Fault(where, f"{name}.warmup_epochs", f"{problem}; set a shorter warm-up"))
    return faults
