"""Folders in the layouts of PASCAL VOC and COCO: what they become, and what is wrong with them."""

import json

import numpy as np
import pytest
from PIL import Image

from kdtune.data.sources import describe_own_data
from kdtune.errors import DataError, Remark, SpecError
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.storage.paths import data_dir
from kdtune.tasks.detection.coco_folder import CocoFolder
from kdtune.tasks.detection.voc_folder import VOC_CLASSES, VocFolder

OBJECT = (
    "<object><name>{}</name>{}<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)


def thing(name, *corners, difficult=""):
    return OBJECT.format(name, difficult, *corners)


def xml(*objects, size=(40, 20)):
    shape = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation>{shape}{''.join(objects)}</annotation>"


def picture(path, seed, size=(40, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def voc(tmp_path):
    """A function that writes pictures by name into a folder; those that begin with "t" are of the test."""

    def make(**annotations):
        folder = tmp_path / "blood"
        lists = {"trainval": [], "test": []}
        for name in ("Annotations", "ImageSets/Main"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for number, (name, text) in enumerate(annotations.items()):
            picture(folder / "JPEGImages" / f"{name}.jpg", number)
            (folder / "Annotations" / f"{name}.xml").write_text(text)
            lists["test" if name.startswith("t") else "trainval"].append(name)
        for name, stems in lists.items():
            (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems))
        return folder

    return make


CELL, DOG = thing("cell", 1, 1, 10, 20), thing("dog", 11, 6, 30, 15)


def test_boxes_are_continuous_and_stretched_with_the_picture(voc):
    hard = thing("cell", 5, 5, 9, 9, difficult="<difficult>1</difficult>")
    arrays = VocFolder(voc(a=xml(CELL, DOG), b=xml(hard), t=xml(DOG)), image_size=80).decode()
    assert arrays.train_images.shape == (2, 3, 80, 80) and arrays.class_names == ("cell", "dog")
    assert arrays.train_labels.dtype == np.float32 and arrays.test_labels.shape == (1, 1, 6)
    assert arrays.train_labels[0].tolist() == [[0, 0, 0, 0, 20, 80], [1, 0, 20, 20, 60, 60]]
    assert arrays.train_labels[1].tolist() == [[0, 1, 8, 16, 18, 36], [-1, 0, 0, 0, 0, 0]]
    assert arrays.remarks == ()


def test_classes_are_those_of_voc_in_its_order_if_they_suffice(voc):
    folder = voc(a=xml(DOG), t=xml(DOG))
    assert VocFolder(folder).decode().class_names == VOC_CLASSES
    assert VocFolder(folder, classes=("cat", "dog")).decode().train_labels[0, 0, 0] == 1


def test_a_picture_without_objects_and_an_annotation_without_size_are_sound(voc):
    arrays = VocFolder(voc(a=xml(), b=xml(CELL, size=None), t=xml(CELL)), image_size=20).decode()
    assert arrays.train_labels[:, 0, 0].tolist() == [-1, 0] and arrays.train_labels[1, 0, 2:].tolist() == [0, 0, 5, 20]


def test_a_picture_of_several_lists_counts_once(voc):
    folder = voc(a=xml(), b=xml(), c=xml(), t=xml())
    for name, stems in (("cat", "a b a"), ("dog", "b c")):
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems.split()))
    found = VocFolder(folder, train=("cat", "dog")).pictures()
    assert [one.path.stem for one in found.train] == ["a", "b", "c"]


def test_bad_boxes_are_dropped_or_cut_and_damaged_pictures_left_out_with_a_remark(voc):
    flat = thing("cell", 5, 5, 5, 9)
    folder = voc(a=xml(CELL, flat, flat), b=xml(thing("cell", 30, 10, 70, 30)), c=xml(CELL), t=xml(CELL))
    (folder / "JPEGImages" / "c.jpg").write_bytes(b"\xff\xd8 torn")
    arrays = VocFolder(folder, image_size=40).decode()
    assert arrays.train_labels[..., 0].tolist() == [[0], [0]]
    assert arrays.train_labels[1, 0, 2:].tolist() == [29, 18, 40, 40]
    torn, flats, outside = arrays.remarks
    assert "left out 1 picture: c.jpg" in torn
    assert "dropped boxes without an area in 1 picture: a.jpg (2)" in flats
    assert "cut boxes that reach outside their picture in 1 picture: b.jpg" in outside


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", r"a.xml: is no valid XML \(no element found"),
        (xml("<object><bndbox/></object>"), "a.xml: object 1 has no name"),
        (xml(thing("cell", 1, 1, "wide", 9)), "a.xml: object 1 has no xmax that is a number, got 'wide'"),
        (xml(thing("cell", 1, "nan", 4, 9)), "a.xml: object 1 has no ymin that is a number"),
        (xml(CELL, size=(20, 40)), "a.xml: is for a picture of 20x40 pixels, but a.jpg has 40x20"),
    ],
    ids=["torn", "nameless", "text", "nan", "size"],
)
def test_a_damaged_annotation_is_named(voc, text, message):
    folder = voc(a=text, t=xml(CELL))
    with pytest.raises(DataError, match=message):
        VocFolder(folder).decode()


def test_a_class_that_is_not_listed_and_a_missing_file_are_named(voc):
    folder = voc(a=xml(DOG), t=xml(DOG))
    with pytest.raises(DataError, match="a.xml: 'dog' is not among the classes; did you mean 'dogs'"):
        VocFolder(folder, classes=("cats", "dogs")).pictures()
    with pytest.raises(DataError, match="the option classes names 'dog' several times"):
        VocFolder(folder, classes=("cat", "dog", "dog")).pictures()
    (folder / "ImageSets" / "Main" / "val.txt").write_text("a.jpg\n")
    with pytest.raises(DataError, match="val.txt, line 1: 'a.jpg' has an ending; list pictures without it"):
        VocFolder(folder, train=("val",)).pictures()
    (folder / "ImageSets" / "Main" / "val.txt").unlink()
    (folder / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"JPEGImages/a.jpg: is missing, but listed"):
        VocFolder(folder).pictures()
    with pytest.raises(DataError, match=r"val.txt: cannot be read .* it lists the pictures"):
        VocFolder(folder, train=("val",)).pictures()
    with pytest.raises(DataError, match="is not in the layout of PASCAL VOC"):
        VocFolder(folder / "JPEGImages").pictures()
    with pytest.raises(SpecError, match="imagesize: unknown key; did you mean 'image_size'"):
        VocFolder(folder, imagesize=9)


def test_a_study_is_told_that_a_folder_has_boxes_and_what_was_dropped(voc):
    folder = voc(a=xml(CELL, thing("cell", 5, 5, 5, 9)), t=xml(CELL))
    dataset = Component(name=f"voc:{folder}", options={"image_size": 48})
    with pytest.warns(Remark, match="dropped boxes without an area in 1 picture"):
        info = describe_own_data(dataset)
    assert (info.annotations, info.classes, info.shape, info.class_names) == ("boxes", 1, (3, 48, 48), ("cell",))
    assert info == DataInfo.model_validate(info.model_dump())


def test_other_boxes_and_other_options_are_other_data(voc):
    folder = voc(a=xml(CELL), t=xml(CELL))
    first = VocFolder(folder).fingerprint()
    assert VocFolder(folder, image_size=64).fingerprint() != first == VocFolder(folder).fingerprint()
    voc(a=xml(DOG), t=xml(CELL))
    assert VocFolder(folder).fingerprint() != first


COCO = {
    "images": [{"id": 7, "file_name": "a.png", "width": 40, "height": 20}, {"id": 9, "file_name": "b.png"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 18, "bbox": [10, 5, 20, 10], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 10.5, 20], "iscrowd": 1},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
}


@pytest.fixture
def coco(tmp_path):
    """A function that writes a folder with the given parts in place of those of :data:`COCO`."""

    def make(**changes):
        (tmp_path / "annotations").mkdir(exist_ok=True)
        for part, table in (("train", {**COCO, **changes}), ("val", COCO)):
            (tmp_path / "annotations" / f"instances_{part}2017.json").write_text(json.dumps(table))
            for seed, name in enumerate(("a", "b")):
                picture(tmp_path / f"{part}2017" / f"{name}.png", seed + 2 * (part == "val"))
        return tmp_path

    return make


def test_a_folder_in_cocos_format(coco):
    arrays = CocoFolder(coco(), image_size=80).decode()
    assert arrays.class_names == ("car", "dog") and arrays.train_images.shape == (2, 3, 80, 80)
    assert arrays.train_labels[0].tolist() == [[1, 0, 20, 20, 60, 60], [0, 1, 0, 0, 21, 80]]
    assert arrays.train_labels[1, :, 0].tolist() == [-1, -1] and arrays.remarks == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"id": 1, "image_id": 8, "bbox": []}]}, "annotation 1 is of image 8, which is missing"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 4, "bbox": []}]}, "there is no category 4"),
        (
            {"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, "x", 4]}]},
            "annotation 1 has no bbox of four numbers",
        ),
        ({"annotations": [{"id": 1}]}, r"annotations\[0\] has no 'bbox'"),
        ({"images": None}, "is not in COCO's format: it has no list 'images'"),
        ({"images": [{"id": 7, "file_name": "c.png"}], "annotations": []}, r"train2017/c.png: is missing"),
        ({"categories": [{"id": 3, "name": "car"}], "annotations": []}, "have different categories"),
        ({"annotations": [{"id": 1, "image_id": [7], "bbox": []}]}, r"is of image \[7\], which is missing"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": [3], "bbox": []}]}, r"there is no category \[3\]"),
        ({"images": [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]}, "several images have the id"),
        ({"categories": [{"id": 3, "name": "car"}, {"id": 3, "name": "dog"}]}, "several categories have the id 3"),
        (
            {"images": [{"id": 7, "file_name": "a.png", "width": "40", "height": 20}], "annotations": []},
            r"image 7 has a width and height that are no numbers, got \('40', 20\)",
        ),
    ],
    ids=[
        *("image", "category", "box", "no-box", "no-list", "no-file", "categories", "image-list", "category-list"),
        *("same-image", "same-category", "size-text"),
    ],
)
def test_a_damaged_file_in_cocos_format_is_named(coco, changes, message):
    with pytest.raises(DataError, match=message):
        CocoFolder(coco(**changes)).pictures()


def test_a_size_of_null_or_0_is_not_known(coco):
    images = [{**COCO["images"][0], "width": None}, {"id": 9, "file_name": "b.png", "width": 0, "height": 0}]
    assert [one.size for one in CocoFolder(coco(images=images)).pictures().train] == [None, None]


def test_pictures_may_lie_outside_the_folder(coco, tmp_path):
    folder, outside = coco(), tmp_path.parent / f"{tmp_path.name}-elsewhere"
    inside = CocoFolder(folder).fingerprint()
    (folder / "train2017").rename(outside)
    assert CocoFolder(folder, train_images=str(outside)).fingerprint() not in (inside, "")


def real(name):
    folder = data_dir(None, "the tests' data folder").path / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    return folder


def test_blood_cells_are_counted_and_two_boxes_without_an_area_dropped():
    pictures = VocFolder(real("BCCD"), train=("train", "val")).pictures()
    assert pictures.class_names == ("Platelets", "RBC", "WBC")
    assert (len(pictures.train), len(pictures.test)) == (292, 72)
    every = np.concatenate([one.objects for one in (*pictures.train, *pictures.test)])
    assert np.bincount(every[:, 0].astype(int)).tolist() == [361, 4155, 372]
    flat = [
        one.path.stem for one in (*pictures.train, *pictures.test) if (one.objects[:, 4] <= one.objects[:, 2]).any()
    ]
    assert sorted(flat) == ["BloodImage_00338", "BloodImage_00343"]


def test_pictures_of_two_years_of_voc():
    arrays = VocFolder(real("VOCdevkit"), image_size=32).decode()
    assert arrays.class_names == VOC_CLASSES and len(arrays.train_images) == 10
    sofa_and_chair = arrays.train_labels[2]
    assert [VOC_CLASSES[int(row[0])] for row in sofa_and_chair[:2]] == ["sofa", "chair"]
    assert sofa_and_chair[0, 2:].tolist() == pytest.approx(
        [122 * 32 / 500, 154 * 32 / 375, 215 * 32 / 500, 195 * 32 / 375]
    )
