from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdtune.data.image_folder import ImageFolder
from kdtune.errors import DataError


def picture(path: Path, colour=(10, 20, 30), size=(8, 8), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    """Three training and two test images of each of two classes, all different."""
    for part, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cats", "dogs")):
            for number in range(count):
                picture(tmp_path / part / name / f"{number}.png", (label * 100, number * 10, len(part)))
    return tmp_path


def arrays_of(folder, **options):
    source = ImageFolder(folder, image_size=8, **options)
    return source.decoded(source.listing())


def test_parts_and_classes_are_those_of_the_folders(photos):
    arrays, remarks = arrays_of(photos)
    assert arrays.class_names == ("cats", "dogs")
    assert arrays.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert arrays.test_labels.tolist() == [0, 0, 1, 1]
    assert arrays.train_images[4, :, 0, 0].tolist() == [100, 10, 5]
    assert remarks == ()


def test_a_validation_folder_is_the_test_part_or_joins_the_training_part(photos):
    (photos / "test").rename(photos / "val")
    assert len(arrays_of(photos)[0].test_labels) == 4
    picture(photos / "test" / "cats" / "a.png", (1, 2, 3))
    picture(photos / "test" / "dogs" / "a.png", (3, 2, 1))
    arrays, _ = arrays_of(photos)
    assert (len(arrays.train_labels), len(arrays.test_labels)) == (10, 2)


def test_of_classes_alone_a_share_of_each_is_set_apart_always_the_same(tmp_path):
    for name, count in (("cats", 10), ("dogs", 5)):
        for number in range(count):
            picture(tmp_path / name / f"{number}.png", (count, number, 0))
    listing = ImageFolder(tmp_path).listing()
    assert [label for _, label in listing.test] == [0, 0, 1]
    assert ImageFolder(tmp_path).listing() == listing
    assert not {path for path, _ in listing.test} & {path for path, _ in listing.train}
    assert len(listing.train) + len(listing.test) == 15


@pytest.mark.parametrize(
    ("resize", "first_row"),
    [("crop", [50] * 4), ("stretch", [0, 50, 50, 100]), ("pad", [0, 0, 0, 0])],
)
def test_other_shapes_are_cropped_stretched_or_padded(photos, resize, first_row):
    wide = np.repeat([[0, 50, 50, 100]], 4, 0).repeat(4, 1).repeat(2, 0).astype(np.uint8)  # 8 rows, 16 columns
    Image.fromarray(np.stack([wide] * 3, 2)).save(photos / "train" / "cats" / "0.png")
    source = ImageFolder(photos, image_size=4, resize=resize)
    image = source.decoded(source.listing())[0].train_images[0, 0]
    assert image[0].tolist() == pytest.approx(first_row, abs=13)
    if resize == "pad":
        assert image[1].tolist() == pytest.approx([0, 50, 50, 100], abs=13)


def test_files_of_every_kind_are_read(photos):
    rotated = Image.Exif()
    rotated[0x0112] = 6  # turned by 90 degrees
    picture(photos / "train" / "cats" / "a.jpg", exif=rotated)
    picture(photos / "train" / "cats" / "b.webp")
    picture(photos / "train" / "cats" / "c.png", (0, 0, 0, 0), mode="RGBA")
    picture(photos / "train" / "cats" / "D.JPG", 7, mode="L")
    picture(photos / "train" / "cats" / "deeper" / "e.gif", 3, mode="P")
    (photos / "train" / "cats" / "notes.txt").write_text("no picture")
    picture(photos / "train" / "cats" / ".hidden.png")
    arrays, remarks = arrays_of(photos)
    assert (len(arrays.train_labels), arrays.train_images.shape[1], remarks) == (11, 3, ())


def test_grey_files_give_one_channel_unless_colour_is_asked_for(tmp_path):
    for part in ("train", "test"):
        for label, name in enumerate(("cats", "dogs")):
            picture(tmp_path / part / name / "0.png", 40 * label + len(part), mode="L")
    assert arrays_of(tmp_path)[0].train_images.shape == (2, 1, 8, 8)
    assert arrays_of(tmp_path, channels=3)[0].train_images.shape == (2, 3, 8, 8)


def test_broken_files_are_left_out_and_listed(photos):
    (photos / "train" / "cats" / "0.png").write_bytes(b"")
    (photos / "test" / "dogs" / "1.png").write_bytes(b"\x89PNG and then nothing")
    arrays, (remark,) = arrays_of(photos)
    assert (len(arrays.train_labels), len(arrays.test_labels)) == (5, 3)
    assert "train/cats/0.png is empty" in remark
    assert "test/dogs/1.png" in remark


def test_a_picture_in_both_parts_is_left_out_of_training(photos):
    picture(photos / "train" / "dogs" / "again.bmp", (0, 10, 4))  # test/cats/1.png in another format
    arrays, (remark,) = arrays_of(photos)
    assert len(arrays.train_labels) == 6
    assert remark.endswith("were left out: train/dogs/again.bmp")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda top: [file.write_bytes(b"") for file in (top / "test" / "dogs").iterdir()],
            "no usable images of class",
        ),
        (lambda top: [file.unlink() for file in (top / "test" / "dogs").iterdir()], "at least two classes"),
        (lambda top: picture(top / "test" / "cows" / "0.png"), r"test/cows: is a class that .*train does not have"),
        (lambda top: (top / "train").rename(top / "elsewhere"), "has a folder 'test' but none called 'train'"),
    ],
)
def test_what_cannot_be_a_data_set_is_one_message(photos, change, message):
    change(photos)
    with pytest.raises(DataError, match=message):
        arrays_of(photos)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: cannot be read \(No such file or directory\)"):
        ImageFolder(tmp_path / "nowhere").listing()


def test_the_fingerprint_is_of_content_and_decoding_and_not_of_the_place(photos, tmp_path_factory):
    def fingerprint(folder, **options):
        source = ImageFolder(folder, **options)
        return source.fingerprint(source.listing())

    before = fingerprint(photos)
    assert fingerprint(photos, image_size=32) != before
    assert fingerprint(photos, resize="pad") != before
    moved = tmp_path_factory.mktemp("elsewhere") / "photos"
    photos.rename(moved)
    assert fingerprint(moved) == before
    picture(moved / "train" / "cats" / "0.png", (9, 9, 9))
    assert fingerprint(moved) != before
