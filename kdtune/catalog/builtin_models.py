"""The built-in networks, one line each."""

from kdtune.catalog.catalog import Catalog

MODELS = Catalog("model", "kdtune.models")
MODELS.add_scheme("torchvision", "kdtune.models.torchvision_networks:TORCHVISION")
MODELS.add_scheme("timm", "kdtune.models.timm_networks:TIMM")
MODELS.add("convnet_2_4_4", "kdtune.models.convnet:convnet_2_4_4", "three convolutions of 2, 4 and 4 channels")
MODELS.add("convnet_4_8_16", "kdtune.models.convnet:convnet_4_8_16", "three convolutions of 4, 8 and 16 channels")
MODELS.add("convnet_16_32_64", "kdtune.models.convnet:convnet_16_32_64", "three convolutions of 16, 32 and 64 channels")
MODELS.add("convnet_32", "kdtune.models.convnet:convnet_32", "three convolutions of 32 channels each")
MODELS.add("resnet18", "kdtune.models.resnet:resnet18", "ResNet-18 with a 3x3 stem, 11.2 M parameters")
MODELS.add("resnet20", "kdtune.models.resnet:resnet20", "ResNet-20 for CIFAR, 0.28 M parameters")
MODELS.add("resnet56", "kdtune.models.resnet:resnet56", "ResNet-56 for CIFAR, 0.86 M parameters")
MODELS.add("resnet8x4", "kdtune.models.resnet:resnet8x4", "ResNet-8 with four times the channels, 1.2 M parameters")
MODELS.add("resnet32x4", "kdtune.models.resnet:resnet32x4", "ResNet-32 with four times the channels, 7.4 M parameters")
MODELS.add("wrn_16_1", "kdtune.models.wide_resnet:wrn_16_1", "wide ResNet WRN-16-1, 0.18 M parameters")
MODELS.add("wrn_16_2", "kdtune.models.wide_resnet:wrn_16_2", "wide ResNet WRN-16-2, 0.70 M parameters")
MODELS.add("wrn_40_2", "kdtune.models.wide_resnet:wrn_40_2", "wide ResNet WRN-40-2, 2.3 M parameters")
MODELS.add("vgg8", "kdtune.models.vgg:vgg8", "VGG of 8 layers with batch normalisation, 4.0 M parameters")
MODELS.add("vgg13", "kdtune.models.vgg:vgg13", "VGG of 13 layers with batch normalisation, 9.5 M parameters")
MODELS.add("mobilenet_v2", "kdtune.models.mobilenet_v2:mobilenet_v2", "MobileNetV2 with a 1x1 stem, 2.4 M parameters")
MODELS.add("mobilenet_v2_half", "kdtune.models.mobilenet_v2:mobilenet_v2_half", "its half width, 0.8 M parameters")
MODELS.add("shufflenet_v2", "kdtune.models.shufflenet_v2:shufflenet_v2", "ShuffleNetV2 of width 1, 1.4 M parameters")
