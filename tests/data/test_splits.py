import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtune.data.splits import stratified_split, stratified_subset
from kdtune.errors import UsageError

LABELS = st.lists(st.integers(0, 5), min_size=2, max_size=120).map(lambda labels: np.array(labels, dtype=np.int64))


@st.composite
def splits(draw):
    """Labels, a count to hold out, and the split."""
    labels = draw(LABELS)
    count = draw(st.integers(1, len(labels) - 1))
    return labels, count, stratified_split(labels, count, draw(st.integers(0, 2**31 - 1)))


@given(splits())
def test_the_parts_are_disjoint_and_complete(split):
    labels, _, (stay, held) = split
    assert sorted([*stay, *held]) == list(range(len(labels)))


@given(splits())
def test_as_many_are_held_out_as_asked_for(split):
    _, count, (_, held) = split
    assert len(held) == count


@given(splits())
def test_every_class_keeps_its_share_to_one_image(split):
    labels, count, (_, held) = split
    for label in np.unique(labels):
        share = count * np.sum(labels == label) / len(labels)
        assert abs(np.sum(labels[held] == label) - share) < 1


@given(splits())
def test_both_parts_are_sorted(split):
    _, _, (stay, held) = split
    assert list(stay) == sorted(stay)
    assert list(held) == sorted(held)


@given(LABELS, st.integers(0, 2**31 - 1))
def test_the_seed_decides_and_nothing_else(labels, seed):
    first = stratified_split(labels, 1, seed)
    np.random.seed(seed % 7)
    second = stratified_split(labels, 1, seed)
    assert [part.tolist() for part in first] == [part.tolist() for part in second]


def test_another_seed_makes_another_split():
    labels = np.repeat(np.arange(10), 20)
    assert stratified_split(labels, 50, 0)[1].tolist() != stratified_split(labels, 50, 1)[1].tolist()


def test_which_images_are_held_out_is_drawn_within_a_class():
    held = stratified_split(np.zeros(1000, dtype=np.int64), 500, 0)[1]
    # 500 of 1,000 drawn: about half of them from the first half (mean 250, deviation under 8).
    assert 200 < np.sum(held < 500) < 300


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 20), (0.5, 100), (0.333, 67), (0.995, 199)])
def test_a_fraction_is_rounded_to_whole_images(fraction, count):
    assert len(stratified_split(np.repeat(np.arange(4), 50), fraction, 0)[1]) == count


@pytest.mark.parametrize("held_out", [0, -1, 10, 11, 0.001, 0.99, 1.0])
def test_a_part_without_images_is_refused_with_a_remedy(held_out):
    with pytest.raises(UsageError, match="of 10 training images.*give a fraction"):
        stratified_split(np.zeros(10, dtype=np.int64), held_out, 0)


# A smaller training set


@st.composite
def subsets(draw):
    """Labels, a count to keep, and the indices that are kept."""
    labels = draw(LABELS)
    count = draw(st.integers(1, len(labels)))
    return labels, count, stratified_subset(labels, count, draw(st.integers(0, 2**31 - 1)))


@given(subsets())
def test_a_subset_holds_as_many_as_asked_for_each_once_and_in_order(subset):
    labels, count, kept = subset
    assert len(kept) == count
    assert list(kept) == sorted(set(kept.tolist()))
    assert kept[0] >= 0 and kept[-1] < len(labels)


@given(subsets())
def test_every_class_keeps_its_share_of_a_subset_to_one_image(subset):
    labels, count, kept = subset
    for label in np.unique(labels):
        assert abs(np.sum(labels[kept] == label) - count * np.sum(labels == label) / len(labels)) < 1


def test_the_seed_decides_which_images_are_kept():
    labels = np.repeat(np.arange(10), 20)
    first = stratified_subset(labels, 50, 0)
    assert np.array_equal(first, stratified_subset(labels, 50, 0))
    assert not np.array_equal(first, stratified_subset(labels, 50, 1))


def test_a_subset_is_not_what_the_split_holds_out():
    labels = np.repeat(np.arange(10), 20)
    assert not np.array_equal(stratified_subset(labels, 50, 0), stratified_split(labels, 50, 0)[1])


def test_a_smaller_subset_lies_in_a_larger_one():
    labels = np.repeat(np.arange(10), 50)
    assert set(stratified_subset(labels, 50, 3)) < set(stratified_subset(labels, 200, 3))


def test_all_images_are_a_subset_and_more_are_refused():
    labels = np.repeat(np.arange(4), 5)
    assert stratified_subset(labels, 20, 0).tolist() == list(range(20))
    with pytest.raises(UsageError, match="data.train_limit: 21 asked for, but there are 20"):
        stratified_subset(labels, 21, 0)
