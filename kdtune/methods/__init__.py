"""Distillation losses by name."""

from kdtune.catalog.registry import Registry

LOSSES = Registry("loss")
LOSSES.add(
    "hkd", "kdtune.methods.losses:hkd", "Hinton's distillation: alpha tau^2 KL + (1 - alpha) CE", needs_teacher=True
)
LOSSES.add(
    "cmc", "kdtune.methods.losses:cmc", "mean squared difference of the logits, each divided by tau", needs_teacher=True
)
LOSSES.add(
    "dml", "kdtune.methods.losses:dml", "KL of the softened outputs without the tau^2 weight", needs_teacher=True
)
LOSSES.add("ce", "kdtune.methods.losses:ce", "cross-entropy with the labels alone, no teacher", needs_teacher=False)
