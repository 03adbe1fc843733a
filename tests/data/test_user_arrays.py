import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset

from kdtune.data.user_arrays import arrays_of
from kdtune.errors import DataError

GREY = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6)
COLOUR = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.fixture(autouse=True)
def _cache(own_cache):
    """Every test has a cache of its own."""


class Listed:
    """A map-style data set."""

    def __init__(self, *items, classes=None):
        self.items = items
        if classes:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, place):
        return self.items[place]


def two_of(image):
    return Listed((image, 0), (image, 1))


def train_images(image):
    return arrays_of((two_of(image), two_of(image)), "mine").train_images


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(GREY), GREY[None]),
        (Image.fromarray(COLOUR), COLOUR.transpose(2, 0, 1)),
        (Image.fromarray(COLOUR).convert("RGBA"), COLOUR.transpose(2, 0, 1)),
        (Image.fromarray(GREY.astype(np.uint16) * 256 + 200), GREY[None]),
        (Image.fromarray(GREY).convert("P"), np.stack([GREY] * 3)),
        (Image.fromarray(GREY > 9), 255 * (GREY > 9)[None]),
        (GREY, GREY[None]),
        (COLOUR, COLOUR.transpose(2, 0, 1)),
        (COLOUR.transpose(2, 0, 1), COLOUR.transpose(2, 0, 1)),
        (torch.from_numpy(COLOUR).permute(2, 0, 1), COLOUR.transpose(2, 0, 1)),
        (torch.from_numpy(GREY).float() / 255, GREY[None]),
        (COLOUR / 255, COLOUR.transpose(2, 0, 1)),
        (torch.from_numpy(COLOUR[:3]), COLOUR[:3]),  # either axis may hold the channels: of a tensor, the first does
        (COLOUR[:3], COLOUR[:3].transpose(2, 0, 1)),  # of an array, the last
    ],
)
def test_images_of_every_kind_become_bytes_with_channels_first(image, expected):
    images = train_images(image)
    assert images.dtype == np.uint8
    assert images.shape == (2, *expected.shape)
    assert np.array_equal(images[1], expected)


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (np.zeros((2, 4, 6), np.uint8), (2, 1, 4, 6)),
        (np.zeros((2, 4, 6, 3)), (2, 3, 4, 6)),
        (torch.zeros(2, 3, 4, 6), (2, 3, 4, 6)),
        (torch.zeros(2, 3, 4, 6, dtype=torch.bfloat16), (2, 3, 4, 6)),
    ],
)
def test_pairs_of_arrays_and_tensors_are_taken_whole(images, shape):
    arrays = arrays_of(((images, [0, 1]), (images, torch.tensor([1, 0]))), "mine")
    assert arrays.train_images.shape == shape
    assert arrays.test_labels.tolist() == [1, 0]
    assert arrays.test_labels.dtype == np.int64


def test_bytes_in_the_right_order_are_not_copied():
    images = np.zeros((2, 3, 4, 6), np.uint8)
    assert np.shares_memory(arrays_of(((images, [0, 1]), (images, [0, 1])), "mine").train_images, images)


def test_large_parts_of_floats_are_converted_block_by_block():
    images = np.random.default_rng(0).random((600, 2, 5))
    labels = np.arange(600) % 2
    arrays = arrays_of(((images, labels), (images, labels)), "mine")
    assert np.array_equal(arrays.train_images[:, 0], np.rint(images * 255))


def test_nothing_is_left_in_the_cache(own_cache):
    arrays = arrays_of((two_of(GREY), two_of(GREY)), "mine")
    assert isinstance(arrays.train_images, np.memmap)
    assert not [*(own_cache / "decoded").iterdir()]


def test_class_names_are_given_or_those_of_the_data_set_even_inside_a_subset():
    named = Listed((GREY, 0), (GREY, np.int64(1)), (GREY, torch.tensor(1)), classes=["cat", "dog"])
    assert arrays_of((Subset(named, [0, 2]), two_of(GREY)), "mine").class_names == ("cat", "dog")
    assert arrays_of((named, named, ["a", "b", "c"]), "mine").class_names == ("a", "b", "c")
    assert arrays_of((two_of(GREY), two_of(GREY)), "mine").class_names == ()


def test_torchs_own_data_sets_are_taken():
    data = TensorDataset(torch.zeros(3, 1, 4, 4), torch.tensor([0, 1, 2]))
    assert arrays_of((data, data), "mine").train_labels.tolist() == [0, 1, 2]


class Failing(Listed):
    def __getitem__(self, place):
        if place == 1:
            raise OSError("disk on fire")
        return self.items[place]


PAIR = two_of(GREY)
NAN = np.full((4, 6), np.nan)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (PAIR, r"mine: has to return \(train, test\) or .*, not a value of type Listed"),
        ((PAIR,), "not a tuple of 1"),
        ((PAIR, PAIR, "ab"), "class names have to be a list of texts"),
        (({}, PAIR), "train: has to be a map-style data set or a pair of arrays .*not a value of type dict"),
        ((PAIR, DataLoader(PAIR)), r"test: has to be a map-style data set .*DataLoader; return its .dataset"),
        ((PAIR, Listed()), "test: has no images"),
        ((Listed((GREY, 0), GREY), PAIR), r"train: item 1 has to be a pair \(image, label\)"),
        ((Failing((GREY, 0), (GREY, 1)), PAIR), "train: image 1 cannot be read: OSError: disk on fire"),
        (
            (Listed((GREY, 0), (GREY[1:], 1)), PAIR),
            r"train: image 1 has shape \(1, 3, 6\), those before it \(1, 4, 6\)",
        ),
        ((two_of(COLOUR), PAIR), r"training part have shape \(3, 4, 6\), those of the test part \(1, 4, 6\)"),
        ((two_of(GREY / 255 - 0.5), PAIR), r"image 0 has values between -0.5 and .*before normalisation"),
        ((two_of(GREY / 1.0), PAIR), "image 0 has values between 0 and 23; return images before normalisation"),
        ((two_of(NAN), PAIR), "train: image 0 holds values that are not finite"),
        ((two_of(GREY.astype(np.int64)), PAIR), "image 0 has int64 values"),
        ((two_of(np.zeros((4, 6, 4), np.uint8)), PAIR), r"has shape \(4, 6, 4\); images need 1 or 3 channels"),
        ((two_of(Image.new("F", (6, 4))), PAIR), "image 0 holds floating-point pixels"),
        ((two_of("no image"), PAIR), r"image 0 has shape \(\); return height x width"),
        ((Listed((GREY, 0), (GREY, 1.0)), PAIR), "the label of image 1 has to be an integer, not 1.0"),
        ((Listed((GREY, 0), (GREY, torch.tensor([0, 1]))), PAIR), "the label of image 1 has to be an integer"),
        ((Listed((GREY, 0), (GREY, -1)), PAIR), "train: image 1 has label -1"),
        (
            (Listed((GREY, 0), (GREY, 5)), PAIR),
            "image 1 has label 5, but there are 3 different labels, so .* 0 to 2",
        ),
        ((PAIR, Listed((GREY, 0), (GREY, 2)), ["a", "b"]), "test: image 1 has label 2, but there are 2 class names"),
        ((Listed((GREY, 0)), Listed((GREY, 0))), "has one class only"),
        ((Listed((GREY, 0), (GREY, 1)), Listed((GREY, 2))), "the test part has images of class 2, the training part"),
        (((np.zeros((2, 4, 4), np.uint8), [0, 1, 1]), PAIR), "train: there are 2 images, but 3 labels"),
        (((np.zeros((2, 4, 4), np.uint8), [[0], [1]]), PAIR), r"labels have to be integers of shape \(2,\)"),
        (((np.zeros((2, 4, 4)), [0.0, 1.0]), PAIR), "labels have to be integers"),
        (((np.zeros((0, 4, 4)), []), PAIR), "train: has no images"),
        (((np.zeros((2, 4)), [0, 1]), PAIR), r"images have shape \(4,\)"),
        (((np.zeros((2, 4, 4, 4)), [0, 1]), PAIR), "images need 1 or 3 channels"),
        (((np.stack([GREY / 255, NAN]), [0, 1]), PAIR), "one of the images 0 to 1 holds values that are not finite"),
    ],
)
def test_what_is_no_data_set_is_one_message(parts, message):
    with pytest.raises(DataError, match=message):
        arrays_of(parts, "mine")


def test_test_images_that_are_training_images_and_copies_among_these_are_counted():
    one, two, three = GREY, GREY + 1, GREY + 2
    train = Listed((one, 0), (two, 1), (one, 0), (one, 1), (three, 1))
    arrays = arrays_of((train, Listed((two, 1), (three, 1), (GREY + 3, 0))), "mine")
    assert (len(arrays.train_labels), len(arrays.test_labels)) == (5, 3)
    copies, in_both = arrays.remarks
    assert copies == "data set mine: 1 training image occurs more than once; copies may fall into the validation part"
    assert in_both.startswith("data set mine: 2 test images are training images too;")


def test_different_images_are_not_remarked_on():
    different = Listed((GREY, 0), (GREY + 1, 1)), Listed((GREY + 2, 0), (GREY + 3, 1))
    assert arrays_of(different, "mine").remarks == ()


def test_an_image_of_32_bits_with_values_of_8_is_refused_instead_of_blackened():
    with pytest.raises(DataError, match=r"mine: train: image 0 holds 32-bit pixels of at most 23, .*\(mode L\)"):
        train_images(Image.fromarray(GREY.astype(np.int32)))
    assert train_images(Image.fromarray(GREY.astype(np.int32) * 256))[0, 0].tolist() == GREY.tolist()
    assert not train_images(Image.new("I", (4, 4), 0)).any()
