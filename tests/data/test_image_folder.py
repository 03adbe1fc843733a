import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kdtune.data.image_folder import ImageFolder
from kdtune.data.sources import describe_own_data, load_arrays
from kdtune.errors import DataError, Remark, SpecError
from kdtune.specs.component import Component
from kdtune.specs.loading import load_study


def picture(path: Path, colour=(10, 20, 30), size=(8, 8), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    """Every test has a cache of its own, beside its folder of pictures."""
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos(tmp_path):
    """Three training and two test images of each of two classes, all different."""
    for part, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cats", "dogs")):
            for number in range(count):
                picture(tmp_path / part / name / f"{number}.png", (label * 100, number * 10, len(part)))
    return tmp_path


def arrays_of(folder, **options):
    arrays = ImageFolder(folder, image_size=8, **options).decode()
    return arrays, arrays.remarks


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
    image = source.decode().train_images[0, 0]
    assert image[0].tolist() == pytest.approx(first_row, abs=13)
    if resize == "pad":
        assert image[1].tolist() == pytest.approx([0, 50, 50, 100], abs=13)


def test_files_of_every_kind_are_read(photos):
    rotated = Image.Exif()
    rotated[0x0112] = 6  # turned by 90 degrees
    picture(photos / "train" / "cats" / "a.jpg", exif=rotated)
    picture(photos / "train" / "cats" / "b.webp", (200, 20, 30))
    picture(photos / "train" / "cats" / "c.png", (0, 50, 0, 0), mode="RGBA")
    picture(photos / "train" / "cats" / "D.JPG", 7, mode="L")
    picture(photos / "train" / "cats" / "deeper" / "e.gif", 3, mode="P")
    (photos / "train" / "cats" / "notes.txt").write_text("no picture")
    picture(photos / "train" / "cats" / ".hidden.png")
    arrays, remarks = arrays_of(photos)
    assert (len(arrays.train_labels), arrays.train_images.shape[1], remarks) == (11, 3, ())


def test_pixels_of_every_mode_keep_their_meaning(photos):
    cats = photos / "train" / "cats"
    Image.fromarray(np.full((8, 8), 200 * 256 + 99, np.uint16)).save(cats / "a.png")  # 16 bits per pixel
    picture(cats / "b.jpg", (0, 255, 255, 0), mode="CMYK", quality=100)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    palette.save(cats / "c.png")
    picture(cats / "d.webp", (1, 2, 3), lossless=True)
    Image.new("F", (8, 8)).save(cats / "e.tif")
    arrays, (remark,) = arrays_of(photos)
    assert arrays.train_images[3, :, 0, 0].tolist() == [200] * 3
    assert arrays.train_images[4, :, 0, 0].tolist() == pytest.approx([255, 0, 0], abs=4)
    assert arrays.train_images[5, :, 0, 0].tolist() == [10, 200, 30]
    assert arrays.train_images[6, :, 0, 0].tolist() == [1, 2, 3]
    assert "train/cats/e.tif cannot be decoded (holds floating-point pixels; save it with 8 bits" in remark


def test_the_camera_s_orientation_is_applied(photos):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255  # the upper half is white
    turned = Image.Exif()
    turned[0x0112] = 3  # by 180 degrees
    Image.fromarray(pixels).save(photos / "train" / "cats" / "a.png", exif=turned)
    assert arrays_of(photos)[0].train_images[3, 0, :, 0].tolist() == [0] * 4 + [255] * 4


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
    assert "left out 2 files that are no usable images: train/cats/0.png is empty, test/dogs/1.png cannot be" in remark


def test_a_picture_in_both_parts_is_left_out_of_training(photos):
    picture(photos / "train" / "dogs" / "again.bmp", (0, 10, 4))  # test/cats/1.png in another format
    arrays, (remark,) = arrays_of(photos)
    assert len(arrays.train_labels) == 6
    assert remark.endswith("left out 1 training image that is a test image too: train/dogs/again.bmp")


def test_training_images_that_occur_more_than_once_are_counted(photos):
    for name in ("again.bmp", "and again.png"):
        picture(photos / "train" / "dogs" / name, (0, 10, 5))  # train/cats/1.png
    arrays, (remark,) = arrays_of(photos)
    assert len(arrays.train_labels) == 8
    assert remark == f"{photos}: 1 training image occurs more than once; copies may fall into the validation part"


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_above_lists_no_file_again(photos, target):
    before = arrays_of(photos)[0]
    (photos / "train" / "cats" / "up").symlink_to(target, target_is_directory=True)
    after, remarks = arrays_of(photos)
    assert after.train_labels.tolist() == before.train_labels.tolist()
    assert remarks == ()


def test_a_link_to_a_folder_elsewhere_is_followed(photos, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    picture(elsewhere / "more.png", (9, 9, 9))
    (photos / "train" / "cats" / "more").symlink_to(elsewhere, target_is_directory=True)
    assert len(arrays_of(photos)[0].train_labels) == 7


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
        return ImageFolder(folder, **options).fingerprint()

    before = fingerprint(photos)
    assert fingerprint(photos, image_size=32) != before
    assert fingerprint(photos, resize="pad") != before
    moved = tmp_path_factory.mktemp("elsewhere") / "photos"
    photos.rename(moved)
    assert fingerprint(moved) == before
    picture(moved / "train" / "cats" / "0.png", (9, 9, 9))
    assert fingerprint(moved) != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "image_size: should be greater than or equal to 4, got 0"),
        ({"image_size": "64"}, "image_size: should be a valid integer"),
        ({"resize": "squeeze"}, "resize: should be 'crop', 'stretch' or 'pad'"),
        ({"channels": 4}, "channels: should be 1 or 3"),
        ({"test_share": 1.0}, "test_share: should be less than 1"),
        ({"imagesize": 32}, "imagesize: unknown key; did you mean 'image_size'"),
    ],
)
def test_options_are_refused_by_name(photos, options, message):
    with pytest.raises(SpecError) as caught:
        describe_own_data(Component(name=f"folder:{photos}", options=options))
    assert f"data set folder:{photos.name}: {message}" in str(caught.value)


def test_whoever_describes_a_folder_is_told_what_was_left_out_every_time(photos):
    (photos / "train" / "cats" / "0.png").write_bytes(b"")
    component = Component(name=f"folder:{photos}", options={"image_size": 8})
    for _ in range(2):
        with pytest.warns(Remark, match=r"left out 1 file that is no usable image: train/cats/0\.png is empty"):
            info = describe_own_data(component)
    assert (info.train_images, info.test_images, info.shape) == (5, 4, (3, 8, 8))
    assert info.class_names == ("cats", "dogs")


def test_a_folder_without_images_is_no_class_and_has_a_remark_also_when_it_is_added_later(photos):
    component = Component(name=f"folder:{photos}", options={"image_size": 8})
    assert describe_own_data(component).class_names == ("cats", "dogs")
    (photos / "train" / "fish").mkdir()
    (photos / "train" / "fish" / "1.heic").write_bytes(b"x")
    with pytest.warns(Remark, match=r"left out 1 folder without images, which is no class: fish") as told:
        assert describe_own_data(component).class_names == ("cats", "dogs")
    assert len(told) == 1


def test_a_study_loads_the_images_that_were_described_and_no_others(photos, place):
    table = {**load_study("digits-hkd").model_dump(mode="json", exclude_none=True), "name": "photos"}
    table["dataset"] = {"ref": f"folder:{photos}", "image_size": 8}
    study = load_study(table)
    study = study.model_copy(update={"dataset_info": describe_own_data(study.dataset)})
    arrays = load_arrays(study, place)
    assert arrays.train_images.shape == (6, 3, 8, 8)
    assert arrays.class_names == ("cats", "dogs")  # the titles of confusion.csv

    picture(photos / "train" / "cats" / "0.png", (9, 9, 9))
    assert np.array_equal(load_arrays(study, place).train_images, arrays.train_images)  # from the decoded copy
    for copy in Path(os.environ["KDTUNE_CACHE_DIR"], "decoded").rglob("*"):
        copy.unlink() if copy.is_file() else None
    with pytest.raises(DataError, match="its images have changed since the study began"):
        load_arrays(study, place)


def test_a_decoding_that_is_cut_short_leaves_nothing(photos, monkeypatch):
    def cut(*arguments):
        raise KeyboardInterrupt

    component = Component(name=f"folder:{photos}", options={"image_size": 8})
    decoded = Path(os.environ["KDTUNE_CACHE_DIR"], "decoded")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("kdtune.data.image_folder.digests", cut)  # all images have been decoded
        describe_own_data(component)
    assert not list(decoded.rglob("*.npy"))
    assert describe_own_data(component).train_images == 6
