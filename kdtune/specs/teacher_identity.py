"""Identities of what a study's trainings take from their teacher: its weights and its kept answers."""

from kdtune.specs.identity import digest
from kdtune.specs.seeds import derive_seed
from kdtune.specs.study import PLAIN, Setting

#: Names the random streams of a teacher's training. Part of its identity: earlier teachers shared those of a repeat.
_TEACHER_STREAMS = "teacher"


def teacher_draws(setting: Setting) -> int:
    """The seed of all that the teacher's training draws, and of no student's.

    Under the same streams it would be fitted on the very images, changed alike, that one repeat's students ask it
    about, and that repeat would not be exchangeable with the others.
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
    """The identity of a teacher: everything that its weights and its record depend on, 16 hexadecimal digits.

    For a teacher that was given, the weights stand in place of their training.

    Args:
        setting: Whose teacher.
        threads: CPU threads of the training: on a CPU sums are taken in another order with another number.
        device: Type of device, such as ``cpu`` or ``cuda``.
        torch_version: Its kernels differ from release to release.
        fingerprint: Of the data; see :class:`kdtune.data.arrays.Arrays`.
        folds: Whether the last image of an epoch joins the batch before it: earlier releases trained on it by itself.
    """
    origin = ("teacher_weights",) if setting.teacher_weights else ("teacher_seed", "teacher_training")
    fields = {"dataset", "data", "teacher", "validation", "split_seed", *origin}
    recipe = setting.model_dump(mode="json", include=fields)
    recipe |= {} if setting.teacher_weights else {"streams": _TEACHER_STREAMS}
    recipe |= {"fingerprint": fingerprint} if fingerprint else {}
    recipe |= {"last_batch": "folded"} if folds and not setting.teacher_weights else {}
    numerics = setting.numerics.resolved()
    recipe |= {} if numerics == PLAIN else {"numerics": numerics.model_dump()}
    recipe |= {"threads": threads} if device == "cpu" else {}
    return digest({**recipe, "device": device, "torch": torch_version})[:16]


def logits_key(setting: Setting, teacher: str, epochs: int, seed: int | None) -> str:
    """The identity of a repeat's teacher logits: everything that they depend on, 16 hexadecimal digits.

    Args:
        setting: Whose students imitate them.
        teacher: Identity of the teacher, its data among them.
        epochs: Epochs with logits of their own.
        seed: Of the random changes to the images; None where there are none.
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
