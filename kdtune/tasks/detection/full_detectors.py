"""The detectors of PASCAL VOC at 300x300, from torchvision's parts, without weights from elsewhere.

``vgg16_ssd_3000`` and ``ssdlite_mobilenet_v2`` have the same 3,000 anchors, so that one can teach the other. Their
maps and anchors are those of the implementation that the authors of PLOS ONE 2023, e0285668, name for their detection
results; ``ssd300_vgg16`` is that of the SSD paper, with its 8,732 anchors for VOC.
"""

from functools import partial

from torch import nn
from torchvision.models import mobilenet_v2, vgg16
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSDFeatureExtractorVGG, SSDHead
from torchvision.models.detection.ssdlite import SSDLiteHead, _extra_block
from torchvision.ops.misc import Conv2dNormActivation

from kdtune.tasks.detection.detectors import Detector, Maps, assembled

#: Of torchvision's SSDLite: statistics of batch normalisation follow more slowly.
_NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)

#: Number of the block of MobileNetV2 whose expansion gives the first map.
_EXPANSION = 14


def _boxes_of_3000() -> DefaultBoxGenerator:
    """Return the anchors of maps of 19, 10, 5, 3, 2 and 1 places a side, six for each place."""
    return DefaultBoxGenerator(
        [[2, 3] for _ in range(6)],
        scales=[0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.1],
        steps=[16, 32, 64, 100, 150, 300],
    )


def ssd300_vgg16(in_channels: int, num_classes: int) -> Detector:
    """Build SSD300 with VGG16 and VOC's 8,732 anchors."""
    boxes = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    backbone = SSDFeatureExtractorVGG(_vgg_features(in_channels), highres=False)
    return assembled(backbone, (512, 1024, 512, 256, 256, 256), boxes, num_classes, SSDHead)


def vgg16_ssd_3000(in_channels: int, num_classes: int) -> Detector:
    """Build SSD with VGG16 and the 3,000 anchors of ``ssdlite_mobilenet_v2``; its first map is fc7, not conv4_3."""
    whole = SSDFeatureExtractorVGG(_vgg_features(in_channels), highres=False)
    blocks = [nn.Sequential(whole.features, whole.extra[0])]
    channels = [1024]
    for between, channels_out in ((256, 512), (128, 256), (128, 256), (128, 256), (128, 256)):
        blocks.append(
            nn.Sequential(
                nn.Conv2d(channels[-1], between, kernel_size=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(between, channels_out, kernel_size=3, padding=1, stride=2),
                nn.ReLU(inplace=True),
            )
        )
        _xavier_(blocks[-1])
        channels.append(channels_out)
    return assembled(Maps(blocks), channels, _boxes_of_3000(), num_classes, SSDHead)


def ssdlite_mobilenet_v2(in_channels: int, num_classes: int) -> Detector:
    """Build SSDLite with MobileNetV2 and 3,000 anchors."""
    features = mobilenet_v2(weights=None, norm_layer=_NORM).features
    if in_channels != 3:
        features[0] = Conv2dNormActivation(
            in_channels, features[0][0].out_channels, stride=2, norm_layer=_NORM, activation_layer=nn.ReLU6
        )
    # torchvision's own extractor is for MobileNetV3, whose blocks have their layers under another name.
    block = features[_EXPANSION].conv
    blocks: list[nn.Module] = [
        nn.Sequential(*features[:_EXPANSION], block[0]),
        nn.Sequential(*block[1:], *features[_EXPANSION + 1 :]),
    ]
    channels = [block[0].out_channels, features[-1].out_channels]
    for channels_out in (512, 256, 256, 128):
        blocks.append(_extra_block(channels[-1], channels_out, _NORM))
        _normal_(blocks[-1])
        channels.append(channels_out)
    head = partial(SSDLiteHead, norm_layer=_NORM)
    return assembled(Maps(blocks), channels, _boxes_of_3000(), num_classes, head)


def _vgg_features(in_channels: int) -> nn.Sequential:
    features: nn.Sequential = vgg16(weights=None).features
    if in_channels != 3:
        features[0] = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1)
    return features


def _xavier_(module: nn.Module) -> None:
    """Initialise convolutions as torchvision's SSD does."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def _normal_(module: nn.Module) -> None:
    """Initialise convolutions as torchvision's SSDLite does."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.03)
