"""Writes a commented study file for a user's networks and data."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from kdtune.errors import UsageError
from kdtune.specs.component import Component
from kdtune.storage.files import replaced_atomically

#: Valid names of studies, which become folders under ``results/``.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

_TEMPLATE = """\
# Which temperature strategy is worth its energy for this teacher, student and data set?
#   kdtune check {file}      loads everything and takes single steps; nothing is trained
#   kdtune study {file}      runs the strategies below and charges each for all of its trainings
# Names are those of 'kdtune list'; package.module:NAME, ./file.py:NAME, torchvision:NAME and folder:PATH work too.
# A component with options is a table: student = {{ ref = "./nets.py:tiny", width = 2 }}
name = {name}
description = {description}
dataset = {dataset}
teacher = {teacher}
student = {student}
loss = {loss}
{alpha}
search_space = "tau-2-20"    # tau = 2, 3, ..., 20
validation = 0.1             # share of the training images by which strategies choose; the test set is used once
# objective = "balanced_accuracy"  # or "f1": what decides between trials, instead of the accuracy
repeats = 3                  # seeds per strategy; 6 or more for a comparison that can be significant

[training]                   # of the student
epochs = {epochs}
batch_size = 64
optimizer = "sgd"            # or "adam", "adamw"
learning_rate = 0.05
momentum = 0.9
weight_decay = 5e-4
milestones = {milestones}        # epochs before which the rate is multiplied by gamma
gamma = 0.2
augment = {augment}   # of crop, flip, rotate, resized-crop, jitter and hue, or []
# class_weights = "balanced"  # for classes of unequal size, in the loss with the labels

[teacher_training]           # not used with --teacher FILE
epochs = {epochs}
batch_size = 64
learning_rate = 0.05
momentum = 0.9
weight_decay = 5e-4
milestones = {milestones}
gamma = 0.2
augment = {augment}

# What 'kdtune study --strategy all' runs; remove those that you do not want.
[strategies.grid]            # every temperature
[strategies.random]
trials = 10
[strategies.optuna]
trials = 10
[strategies.stochastic]      # no search: a random temperature for each batch
[strategies.fixed]
tau = 4
[strategies.none]            # the student without a teacher
"""

#: Number of epochs in the study file, and the epochs at which the learning rate drops.
_EPOCHS, _MILESTONES = 30, [15, 24]


def write_study(
    path: Path,
    name: str,
    references: Mapping[str, str],
    alpha: float | None = None,
    *,
    augments: bool = True,
) -> None:
    """Write a study file.

    Args:
        path: The file to write.
        name: Name of the study.
        references: References with absolute paths, by ``dataset``, ``teacher``, ``student`` and ``loss``.
        alpha: Weight of the distillation term; None leaves the loss's default.
        augments: Whether the images may be cropped and flipped.

    Raises:
        UsageError: The file exists, its folder cannot be written, or the name is not valid.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"kdtune new: {name!r} is not a valid name; use letters, digits, '.', '_' and '-'")
    if path.exists():
        raise UsageError(f"kdtune new: {path} exists already and is not overwritten; choose another name or --file")
    written = {key: _toml(_relative(text, path.parent)) for key, text in references.items()}
    short = {key: Component(name=text).short_name for key, text in references.items()}
    content = _TEMPLATE.format(
        **written,
        file=path,
        name=_toml(name),
        description=_toml("{student} taught by {teacher}".format(**short)),
        alpha="# alpha = 0.95             # weight of the distillation term; the loss's default"
        if alpha is None
        else f"alpha = {alpha:g}                 # weight of the distillation term",
        epochs=_EPOCHS,
        milestones=_MILESTONES,
        augment='["crop", "flip"]' if augments else "[]",
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(path) as file:
            file.write(content.encode())
    except OSError as error:
        raise UsageError(f"kdtune new: {path} cannot be written ({error.strerror}); name another with --file") from None


def _relative(reference: str, folder: Path) -> str:
    """Return a reference with its absolute path, if it has one, made relative to the folder of the study file."""
    prefix, slash, rest = reference.partition("/")
    if not slash:
        return reference
    moved = os.path.relpath(slash + rest, folder.absolute())
    return f"{prefix}{moved if moved.startswith('..') else f'./{moved}'}"


def _toml(value: Any) -> str:
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()
