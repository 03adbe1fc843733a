"""What one training is, torn from what it is for: free of torch, so that plans are made without it."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from kdtune.catalog.registry import did_you_mean
from kdtune.errors import Fault, SpecError
from kdtune.methods import LOSSES
from kdtune.specs.search_space import SEARCHABLE, Dimension, Point
from kdtune.specs.seeds import derive_seed
from kdtune.specs.study import PLAIN, Study, Training

#: What a point may say: values to search, the name of a temperature policy with how it draws, ``loss = "ce"`` for no
#: teacher with how much longer that trains, and which restart of the same training it is.
_POINT_KEYS = [*SEARCHABLE, "temperature", "draw", "scale", "loss", "longer", "restart"]

#: Keys of a point that go with another one alone, and its value.
_GO_WITH = {"draw": ("temperature", "stochastic"), "scale": ("temperature", "stochastic"), "longer": ("loss", "ce")}

#: How often the policy ``stochastic`` may draw a tau: for each of these.
DRAWS = ("batch", "epoch", "sample")

#: How likely the policy ``stochastic`` may find the values of its space: evenly, or as 1/tau.
SCALES = ("uniform", "log")

#: Names the random streams of a teacher's training. Part of its identity: earlier teachers shared those of a repeat.
_TEACHER_STREAMS = "teacher"

#: Fields of a study that say how it is run or told, not what one of its trainings is.
_NOT_RECIPE = {"name", "description", "repeats", "seed", "strategies", "attribution"}


@dataclass(frozen=True)
class Recipe:
    """Everything that one training depends on, but for its seed and its data.

    Attributes:
        model: Name of the network to train.
        training: Epochs, optimiser and the rest.
        loss: Name of the loss.
        alpha: Weight of the distillation term.
        temperature: Name of the temperature policy; None where the loss has no teacher.
        tau: The value for the policy ``fixed``.
        tau_space: What the policy ``stochastic`` draws from.
        draw: What it draws a tau for: each ``batch``, ``epoch`` or ``sample``.
        restart: Counted from 0, the repeat's own; others begin elsewhere and see the same images in another order.
    """

    model: str
    training: Training
    loss: str
    alpha: float
    temperature: str | None = None
    tau: float | None = None
    tau_space: Dimension | None = None
    draw: str = "batch"
    restart: int = 0

    @property
    def needs_teacher(self) -> bool:
        """Whether the loss compares with a teacher."""
        return bool(LOSSES[self.loss].facts["needs_teacher"])


def student_recipe(study: Study, point: Point) -> Recipe:
    """The recipe of a point: the study's own values, replaced where the point names them.

    Raises:
        SpecError: The point names something else, or neither a tau nor what stands for one.
    """
    if faults := _faults(point):
        raise SpecError(faults)
    training = study.training.longer_by(float(point.get("longer", 1))).model_copy(
        update={key: float(point[key]) for key in ("learning_rate", "weight_decay") if key in point}
    )
    loss, restart = str(point.get("loss", study.loss)), int(point.get("restart", 0))
    if not LOSSES[loss].facts["needs_teacher"]:
        return Recipe(study.student, training, loss, alpha=0.0, restart=restart)
    policy = str(point.get("temperature", "fixed"))
    return Recipe(
        model=study.student,
        training=training,
        loss=loss,
        alpha=float(point.get("alpha", study.alpha)),
        temperature=policy,
        tau=float(point["tau"]) if policy == "fixed" else None,
        tau_space=_scaled(study.search_space["tau"], point.get("scale")) if policy == "stochastic" else None,
        draw=str(point.get("draw", DRAWS[0])),
        restart=restart,
    )


def _faults(point: Point) -> list[Fault]:
    faults = [
        Fault("point", key, f"cannot be searched; {did_you_mean(key, _POINT_KEYS)}")
        for key in point
        if key not in _POINT_KEYS
    ]
    if not {"tau", "temperature", "loss"} & point.keys():
        faults.append(Fault("point", "tau", "is missing: give a tau, or temperature = 'stochastic'"))
    for key, (other, value) in _GO_WITH.items():
        if key in point and point.get(other) != value:
            faults.append(Fault("point", key, f"goes with {other} = {value!r} alone"))
    for key, known in (("draw", DRAWS), ("scale", SCALES)):
        if key in point and point[key] not in known:
            faults.append(Fault("point", key, f"unknown value {point[key]!r}; known: {', '.join(known)}"))
    return faults


def _scaled(dimension: Dimension, scale: str | None) -> Dimension:
    """The same values, drawn on another scale; as the search space says without one."""
    return dimension if scale is None else dimension.model_copy(update={"log": scale == "log"})


def trial_epochs(study: Study, point: Point) -> int:
    """How many epochs the training at a point has."""
    return student_recipe(study, point).training.epochs


def teacher_recipe(study: Study) -> Recipe:
    """The recipe of the study's teacher, trained on the labels."""
    return Recipe(study.teacher, study.teacher_training, loss="ce", alpha=0.0)


def teacher_draws(study: Study) -> int:
    """The seed of all that the teacher's training draws, and of no student's.

    Under the same streams it would be fitted on the very images, changed alike, that one repeat's students ask it
    about, and that repeat would not be exchangeable with the others.
    """
    return derive_seed(study.teacher_seed, _TEACHER_STREAMS)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def trial_id(study: Study, point: Point, seed: int) -> str:
    """The identity of a trial: a hash of point, seed and recipe, 12 hexadecimal digits.

    Two trials with the same id compute the same thing, whichever strategy proposed them.
    """
    recipe = study.model_dump(mode="json", exclude=_NOT_RECIPE)
    return _digest({"point": point, "seed": seed, "recipe": recipe})[:12]


def teacher_key(
    study: Study,
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
        study: Whose teacher.
        threads: CPU threads of the training: on a CPU sums are taken in another order with another number.
        device: Type of device, such as ``cpu`` or ``cuda``.
        torch_version: Its kernels differ from release to release.
        fingerprint: Of the data; see :class:`kdtune.data.arrays.Arrays`.
        folds: Whether the last image of an epoch joins the batch before it: earlier releases trained on it by itself.
    """
    origin = ("teacher_weights",) if study.teacher_weights else ("teacher_seed", "teacher_training")
    fields = {"dataset", "data", "teacher", "validation", "split_seed", *origin}
    recipe = study.model_dump(mode="json", include=fields)
    recipe |= {} if study.teacher_weights else {"streams": _TEACHER_STREAMS}
    recipe |= {"fingerprint": fingerprint} if fingerprint else {}
    recipe |= {"last_batch": "folded"} if folds and not study.teacher_weights else {}
    numerics = study.numerics.resolved()
    recipe |= {} if numerics == PLAIN else {"numerics": numerics.model_dump()}
    recipe |= {"threads": threads} if device == "cpu" else {}
    return _digest({**recipe, "device": device, "torch": torch_version})[:16]


def logits_key(study: Study, teacher: str, epochs: int, seed: int | None) -> str:
    """The identity of a repeat's teacher logits: everything that they depend on, 16 hexadecimal digits.

    Args:
        study: Whose students imitate them.
        teacher: Identity of the teacher, its data among them.
        epochs: Epochs with logits of their own.
        seed: Of the random changes to the images; None where there are none.
    """
    numerics = study.numerics.resolved()
    return _digest(
        {
            "teacher": teacher,
            "epochs": epochs,
            "seed": seed,
            "augment": study.training.augment,
            "precision": numerics.precision,
            "memory_layout": numerics.memory_layout,
        }
    )[:16]
