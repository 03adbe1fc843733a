import numpy as np
import pytest
from PIL import Image

from kdtune.data.published import obtain
from kdtune.data.tiny_imagenet import TinyImageNet
from kdtune.errors import DataError
from kdtune.storage.paths import data_dir
from tests.data.sets import WNIDS, write_tiny_imagenet

pytestmark = pytest.mark.usefixtures("own_cache", "no_network")


@pytest.fixture
def top(place):
    """Its folder: three classes with four training and two validation images each."""
    return write_tiny_imagenet(place.path)


def load(place):
    obtain("tiny_imagenet", place)
    return TinyImageNet().load(place)


def pixels_of(path):
    return np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1)


def test_training_images_come_class_by_class_in_the_order_of_wnids(place, top):
    arrays = load(place)
    assert arrays.train_labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert arrays.train_images.shape == (12, 3, 64, 64)
    for label, wnid in enumerate(WNIDS):
        assert np.array_equal(
            arrays.train_images[4 * label + 3], pixels_of(top / "train" / wnid / "images" / f"{wnid}_3.JPEG")
        )


def test_the_validation_part_is_the_test_set(place, top):
    arrays = load(place)
    lines = [line.split("\t") for line in (top / "val" / "val_annotations.txt").read_text().splitlines()]
    assert len(arrays.test_images) == 6
    for image, label, (name, wnid, *_) in zip(arrays.test_images, arrays.test_labels, lines, strict=True):
        assert WNIDS[label] == wnid
        assert np.array_equal(image, pixels_of(top / "val" / "images" / name))


def test_grey_images_become_colour(place, top):
    grey = load(place).train_images[0]
    assert np.array_equal(grey[0], grey[1]) and np.array_equal(grey[0], grey[2])


def test_classes_are_named_by_words(place, top):
    (top / "words.txt").write_text("n02\tcat\nn01\tdog, hound\n")
    assert load(place).class_names == ("cat", "dog, hound", "n03")


def test_how_many_training_images_a_subset_has_is_known_before_and_after_it_is_decoded(place, top):
    assert obtain("tiny_imagenet", place) == 12
    load(place)
    assert obtain("tiny_imagenet", place) == 12


def test_a_subset_and_the_whole_have_decoded_copies_of_their_own(place, top, tmp_path):
    larger = data_dir(tmp_path / "larger")
    write_tiny_imagenet(larger.path, train=6)
    first, second = load(place), load(larger)
    assert (len(first.train_images), len(second.train_images)) == (12, 18)
    assert first.fingerprint != second.fingerprint
    assert len(load(place).train_images) == 12


def test_the_same_files_elsewhere_share_a_decoded_copy(place, top, tmp_path, monkeypatch):
    load(place)
    top.parent.rename(tmp_path / "moved")
    monkeypatch.setattr(TinyImageNet, "decode", lambda self, root: pytest.fail("decoded again"))
    assert len(load(data_dir(tmp_path / "moved")).train_images) == 12


def image(top):
    return top / "train" / "n01" / "images" / "n01_2.JPEG"


def cut_short(top):
    image(top).write_bytes(image(top).read_bytes()[:400])


def make_empty(top):
    image(top).write_bytes(b"")


def put_text_there(top):
    image(top).write_text("<html>404</html>")


def shrink(top):
    Image.new("RGB", (32, 48)).save(image(top))


def remove(top):
    image(top).unlink()


@pytest.mark.parametrize("harm", [cut_short, make_empty, put_text_there, shrink, remove])
@pytest.mark.parametrize("decoded_before", [False, True])
def test_an_image_that_cannot_be_used_is_named(place, top, harm, decoded_before):
    if decoded_before:
        load(place)
    harm(top)
    with pytest.raises(DataError) as refused:
        load(place)
    assert str(image(top)) in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_all_images_that_cannot_be_used_are_told_at_once(place, top):
    cut_short(top)
    val = top / "val" / "images" / "val_1.JPEG"
    Image.new("RGB", (64, 63)).save(val)
    with pytest.raises(DataError) as refused:
        load(place)
    said = str(refused.value)
    assert f"{image(top)} cannot be decoded (" in said
    assert f"; {val} cannot be used either; delete what is damaged, then --download" in said
    for path in top.glob("train/*/images/*.JPEG"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"_0.JPEG cannot be decoded .*_0.JPEG and 8 more cannot be used either"):
        load(place)


def edit(file, old, new):
    def change(top):
        text = (top / file).read_text()
        assert old in text
        (top / file).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda top: (top / "words.txt").unlink(), "incomplete in .*words.txt is missing"),
        (lambda top: (top / "val" / "val_annotations.txt").unlink(), "incomplete in .*val_annotations.txt is missing"),
        (lambda top: (top / "wnids.txt").write_bytes(b"\xff\xfe"), "wnids.txt is damaged: it is not a text file"),
        (lambda top: (top / "wnids.txt").write_text(""), "wnids.txt must list every class once"),
        (edit("wnids.txt", "n03", "n01"), "wnids.txt must list every class once"),
        (edit("wnids.txt", "n03", "n04"), "train/n04/images: cannot be read"),
        (edit("wnids.txt", "n03\n", ""), "val_annotations.txt, line 5: 'n03' is not a class of wnids.txt"),
        (edit("val/val_annotations.txt", "val_4.JPEG", "val_9.JPEG"), "val_9.JPEG is missing"),
        (edit("val/val_annotations.txt", "val_5.JPEG\tn03\t0\t0\t63\t63\n", ""), "does not list val_5.JPEG"),
        (edit("val/val_annotations.txt", "\tn03\t0", ""), "line 5: '0' is not a class"),
        (lambda top: (top / "train" / "n02" / "images").rename(top / "gone"), "train/n02/images: cannot be read"),
    ],
)
def test_a_damaged_list_is_named(place, top, harm, words):
    harm(top)
    with pytest.raises(DataError, match=words) as refused:
        load(place)
    assert len(str(refused.value).splitlines()) == 1


def test_a_class_without_images_is_told(place, top):
    for path in (top / "train" / "n02" / "images").iterdir():
        path.unlink()
    (top / "train" / "n02" / "n02_boxes.txt").unlink()
    with pytest.raises(DataError, match="n02/images holds no images"):
        load(place)


def test_a_set_that_came_without_lists_of_boxes_is_read(place, top):
    for boxes in top.glob("train/*/*_boxes.txt"):
        boxes.unlink()
    assert len(load(place).train_images) == 12
