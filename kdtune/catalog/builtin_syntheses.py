"""The built-in methods that make training images from a teacher; nothing of them is imported before it is used."""

from kdtune.catalog.catalog import Catalog

#: The target is a class derived from :class:`kdtune.synthesis.base.Synthesizer`.
SYNTHESES = Catalog("synthesis", "kdtune.syntheses")
SYNTHESES.add(
    "deep-inversion",
    "kdtune.synthesis.deep_inversion:DeepInversion",
    "pixels optimised until the teacher's batch statistics are those of its training (CVPR 2020)",
)
SYNTHESES.add(
    "cmi",
    "kdtune.synthesis.cmi:Cmi",
    "a generator for each batch, and contrast with earlier images (IJCAI 2021)",
)
SYNTHESES.add("noise", "kdtune.synthesis.noise:Noise", "uniform noise, the control of the others")
