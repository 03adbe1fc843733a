"""Identities of a teacher and of its stored logits."""

from kdtune.catalog.builtin import DEFAULT_TASK
from kdtune.specs.identity import AS_IDENTITY, digest
from kdtune.specs.numerics import PLAIN
from kdtune.specs.seeds import derive_seed
from kdtune.specs.study import Setting
from kdtune.specs.task_options import of_teacher

#: Name of the random streams of a teacher's training. It is part of the teacher's identity, because teachers of
#: earlier releases used the streams of a repeat.
_TEACHER_STREAMS = "teacher"


def teacher_draws(setting: Setting) -> int:
    """Return the seed of all random numbers of the teacher's training, which no student shares.

    With shared streams, the teacher would be trained on exactly the augmented images for which the students of one
    repeat need its logits, and that repeat would not be exchangeable with the others.
    """
    return derive_seed(setting.teacher_seed, _TEACHER_STREAMS)


def teacher_key(
    setting: Setting,
    threads: int,
    device: str = "cpu",
    torch_version: str = "",
    fingerprint: str = "",
    *,
    folds: bool = False,
) -> str:
    """Return the identity of a teacher, 16 hexadecimal digits of a digest of everything that it depends on.

    For a given teacher, the identity of its weights replaces its seed and its training.

    Args:
        setting: Setting of the study.
        threads: CPU threads of the training; on a CPU they determine the order of summation.
        device: Type of device, such as ``cpu`` or ``cuda``.
        torch_version: Version of torch, whose kernels differ between releases.
        fingerprint: Fingerprint of the data; see :class:`kdtune.data.arrays.Arrays`.
        folds: Whether a single last image joins the batch before it; earlier releases trained on it alone.
    """
    origin = ("teacher_weights",) if setting.teacher_weights else ("teacher_seed", "teacher_training")
    fields = {"dataset", "data", "teacher", "validation", "split_seed", *origin}
    fields |= {"task"} if setting.task.name != DEFAULT_TASK else set()
    task = setting.task.model_copy(update={"options": of_teacher(setting.task)})
    recipe = setting.model_copy(update={"task": task}).model_dump(mode="json", include=fields, context=AS_IDENTITY)
    recipe |= {} if setting.teacher_weights else {"streams": _TEACHER_STREAMS}
    recipe |= {"fingerprint": fingerprint} if fingerprint else {}
    recipe |= {"last_batch": "folded"} if folds and not setting.teacher_weights else {}
    numerics = setting.numerics.resolved()
    recipe |= {} if numerics == PLAIN else {"numerics": numerics.model_dump()}
    recipe |= {"threads": threads} if device == "cpu" else {}
    return digest({**recipe, "device": device, "torch": torch_version})[:16]


def logits_key(setting: Setting, teacher: str, epochs: int, seed: int | None) -> str:
    """Return the identity of a repeat's teacher logits, 16 hexadecimal digits of everything that they depend on.

    Args:
        setting: Setting of the study.
        teacher: Identity of the teacher, which includes that of the data.
        epochs: Number of epochs with different logits.
        seed: Seed of the random changes to the images; None if there are none.
    """
    numerics = setting.numerics.resolved()
    return digest(
        {
            "teacher": teacher,
            "epochs": epochs,
            "seed": seed,
            "augment": setting.training.augment,
            "precision": numerics.precision,
            "memory_layout": numerics.memory_layout,
        }
    )[:16]
