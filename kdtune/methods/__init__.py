"""Distillation losses by name.

Facts about a loss: ``needs_teacher``, whether it compares with a teacher, and ``default_alpha``, the weight of the
distillation term if a study gives none. The paper uses 0.95 for HKD and says that CMC and DML take no weights, which is
a weight of 1 on distillation and none on the labels.
"""

from kdtune.catalog.registry import Registry

LOSSES = Registry("loss")
LOSSES.add(
    "hkd",
    "kdtune.methods.losses:hkd",
    "Hinton's distillation: alpha tau^2 KL + (1 - alpha) CE",
    needs_teacher=True,
    default_alpha=0.95,
)
LOSSES.add(
    "cmc",
    "kdtune.methods.losses:cmc",
    "mean squared difference of the logits, each divided by tau",
    needs_teacher=True,
    default_alpha=1.0,
)
LOSSES.add(
    "dml",
    "kdtune.methods.losses:dml",
    "KL of the softened outputs without the tau^2 weight",
    needs_teacher=True,
    default_alpha=1.0,
)
LOSSES.add(
    "ce",
    "kdtune.methods.losses:ce",
    "cross-entropy with the labels alone, no teacher",
    needs_teacher=False,
    default_alpha=0.0,
)

#: The loss of a network that is trained without a teacher, such as the teacher itself.
WITHOUT_TEACHER = "ce"
