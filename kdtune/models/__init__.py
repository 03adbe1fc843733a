"""Teachers and students, one file an architecture."""

from kdtune.registry import Registry

MODELS = Registry("model")
MODELS.add("convnet_2_4_4", "kdtune.models.convnet:convnet_2_4_4", "three convolutions of 2, 4 and 4 channels")
MODELS.add("convnet_32", "kdtune.models.convnet:convnet_32", "three convolutions of 32 channels each")
