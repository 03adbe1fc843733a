"""Networks of torchvision and timm by name."""

from importlib.util import find_spec

import pytest

from kdtune.catalog.builtin import MODELS
from kdtune.errors import UsageError
from kdtune.models.output_check import check_network
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed (extra timm)")


def checked(name, channels, pixels, **options):
    info = DataInfo(classes=7, shape=(channels, pixels, pixels), train_images=9, test_images=9)
    return check_network(Component(name=name, options=options), info)


@pytest.mark.parametrize(
    ("name", "channels", "options"),
    [("shufflenet_v2_x0_5", 1, {}), ("mobilenet_v3_small", 3, {}), ("vit_b_32", 3, {"image_size": 32})],
)
def test_networks_of_torchvision_have_logits_for_the_classes(name, channels, options):
    checked(f"torchvision:{name}", channels, 32, **options)


def test_a_network_of_torchvision_that_needs_larger_images_is_refused_with_their_size():
    with pytest.raises(UsageError, match="smallest images that it accepts have 63 x 63 pixels"):
        checked("torchvision:alexnet", 3, 32)


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is installed")
def test_without_timm_a_message_says_what_to_install():
    with pytest.raises(ValueError, match=r"requires timm; install it with: pip install 'kdtune\[timm\]'"):
        MODELS.resolve("timm:resnet18")


@needs_timm
@pytest.mark.parametrize(("name", "options"), [("resnet10t", {}), ("vit_tiny_patch16_224", {"img_size": 32})])
def test_networks_of_timm_have_logits_for_the_classes(name, options):
    checked(f"timm:{name}", 1, 32, **options)


@needs_timm
def test_an_unknown_network_of_timm_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="timm has no network 'resnet10q'; did you mean"):
        MODELS.resolve("timm:resnet10q")
