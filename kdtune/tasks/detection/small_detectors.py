"""Small detectors for a machine without a GPU: four convolutions of stride 2, of which the last two give maps.

These networks are kdtune's own. For the digits on canvases of 64x64, ssd_16_32_64_64 teaches ssdlite_6_12_16_16; for
the blood cells of BCCD at 128x128, with other anchors, it teaches ssdlite_4_6_8_8.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSDHead
from torchvision.models.detection.ssdlite import SSDLiteHead

from kdtune.tasks.detection.detectors import Detector, Maps, assembled

#: Sizes of the anchors of the two maps relative to the image, and that after the last one: for digits on canvases.
SCALES = (0.25, 0.35, 0.5)

_LITE = partial(SSDLiteHead, norm_layer=nn.BatchNorm2d)


def _blocks(widths: Sequence[int], in_channels: int) -> list[nn.Module]:
    return [
        nn.Sequential(
            nn.Conv2d(width_in, width_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(inplace=True),
        )
        for width_in, width_out in pairwise((in_channels, *widths))
    ]


def _detector(
    widths: Sequence[int],
    head: Callable[[list[int], list[int], int], nn.Module],
    in_channels: int,
    num_classes: int,
    scales: Sequence[float],
    ratios: Sequence[float],
) -> Detector:
    boxes = DefaultBoxGenerator([[*ratios], [*ratios]], scales=[*scales])
    return assembled(Maps(_blocks(widths, in_channels), first=2), widths[2:], boxes, num_classes, head)


def ssd_16_32_64_64(
    in_channels: int, num_classes: int, scales: Sequence[float] = SCALES, ratios: Sequence[float] = ()
) -> Detector:
    """Build the teacher: 16, 32, 64 and 64 channels, and SSD's heads.

    Args:
        in_channels: Channels of the images.
        num_classes: Number of classes of objects.
        scales: Sizes of the anchors, three numbers; see :data:`SCALES`.
        ratios: Widths of further anchors relative to their heights; the inverse ratios are added.
    """
    return _detector((16, 32, 64, 64), SSDHead, in_channels, num_classes, scales, ratios)


def ssdlite_6_12_16_16(
    in_channels: int, num_classes: int, scales: Sequence[float] = SCALES, ratios: Sequence[float] = ()
) -> Detector:
    """Build a student: 6, 12, 16 and 16 channels, and SSDLite's heads; see :func:`ssd_16_32_64_64`."""
    return _detector((6, 12, 16, 16), _LITE, in_channels, num_classes, scales, ratios)


def ssdlite_4_6_8_8(
    in_channels: int, num_classes: int, scales: Sequence[float] = SCALES, ratios: Sequence[float] = ()
) -> Detector:
    """Build a smaller student: 4, 6, 8 and 8 channels, and SSDLite's heads; see :func:`ssd_16_32_64_64`."""
    return _detector((4, 6, 8, 8), _LITE, in_channels, num_classes, scales, ratios)
