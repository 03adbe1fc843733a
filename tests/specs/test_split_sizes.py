import pytest

from kdtune.errors import UsageError
from kdtune.specs.split_sizes import batch_sizes, check_split, folds_last_image, held_out_images, split_problems


def test_a_number_of_images_is_held_out_unchanged_and_a_fraction_of_all_images():
    assert held_out_images(60, 12) == 12
    assert held_out_images(60, 0.25) == 15


@pytest.mark.parametrize(
    ("images", "validation", "limit", "key"),
    [
        (60, 59, None, None),
        (60, 60, None, "validation"),
        (60, 0.001, None, "validation"),
        (60, 12, 13, None),
        (60, 12, 12, "validation"),
        (60, 12, 60, None),
        (60, 12, 61, "data.train_limit"),
    ],
)
def test_a_split_needs_an_image_in_each_part_and_at_most_the_available_images(images, validation, limit, key):
    assert list(split_problems(images, validation, limit)) == ([key] if key else [])


def test_an_impossible_split_is_refused_with_sizes_and_remedy():
    check_split("tiny_imagenet", 60, 0.1)
    with pytest.raises(UsageError, match=r"^tiny_imagenet: validation: holding out 400 of 60 .* give a fraction"):
        check_split("tiny_imagenet", 60, 400)


@pytest.mark.parametrize(
    ("images", "batch_size", "sizes"),
    [
        (100, 32, [32, 32, 32, 4]),
        (96, 32, [32, 32, 32]),
        (98, 32, [32, 32, 32, 2]),
        (97, 32, [32, 32, 33]),
        (33, 32, [33]),
        (20, 32, [20]),
        (3, 2, [3]),
        (3, 1, [1, 1, 1]),
        (1, 32, [1]),
    ],
)
def test_a_single_image_that_is_left_over_joins_the_batch_before_it(images, batch_size, sizes):
    assert batch_sizes(images, batch_size) == sizes
    assert folds_last_image(images, batch_size) == (sizes[-1] > batch_size)
