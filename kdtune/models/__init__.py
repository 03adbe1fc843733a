"""Teachers and students, one file a family of architectures."""

from kdtune.registry import Registry

MODELS = Registry("model")
MODELS.add("convnet_2_4_4", "kdtune.models.convnet:convnet_2_4_4", "three convolutions of 2, 4 and 4 channels")
MODELS.add("convnet_4_8_16", "kdtune.models.convnet:convnet_4_8_16", "three convolutions of 4, 8 and 16 channels")
MODELS.add("convnet_16_32_64", "kdtune.models.convnet:convnet_16_32_64", "three convolutions of 16, 32 and 64 channels")
MODELS.add("convnet_32", "kdtune.models.convnet:convnet_32", "three convolutions of 32 channels each")
