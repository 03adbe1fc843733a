"""Numerics of trainings: precision, memory layout and compilation."""

from typing import Literal

from kdtune.specs.frozen_model import FrozenModel


class Numerics(FrozenModel):
    """Numerics of all trainings of a study, the teacher's included; ``auto`` is resolved once and then fixed.

    Attributes:
        precision: Precision of the networks' passes; weights and losses are always float32.
        memory_layout: Memory layout of images and weights.
        compile: ``on``: networks are compiled with ``torch.compile``. ``graph``: the whole training step is captured as
            one CUDA graph (on a CPU, the same step runs eagerly). ``compiled_graph``: both. ``off``: neither.
    """

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    memory_layout: Literal["auto", "contiguous", "channels_last"] = "auto"
    compile: Literal["auto", "off", "on", "graph", "compiled_graph"] = "auto"

    def resolved(self, found: "Numerics | None" = None) -> "Numerics":
        """Return the numerics with each ``auto`` replaced by the value in ``found``, or by default in ``PLAIN``."""
        found = found or PLAIN
        return Numerics(
            **{key: getattr(found, key) if value == "auto" else value for key, value in self.model_dump().items()}
        )

    @property
    def uses_compiler(self) -> bool:
        """Whether networks are compiled."""
        return self.compile in ("on", "compiled_graph")

    @property
    def captures_steps(self) -> bool:
        """Whether a training step is captured as a whole."""
        return self.compile in ("graph", "compiled_graph")

    @property
    def is_resolved(self) -> bool:
        """Whether no value is ``auto``."""
        return "auto" not in self.model_dump().values()


#: Numerics that every machine supports; the fastest for short studies of small networks.
PLAIN = Numerics(precision="float32", memory_layout="contiguous", compile="off")
