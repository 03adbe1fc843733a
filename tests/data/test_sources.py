import pytest

from kdtune.data.sources import describe_data, with_described_data
from kdtune.errors import UsageError
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.storage.paths import data_dir
from tests.studies import small_study


def test_options_of_a_built_in_data_set_are_refused():
    """They would otherwise change nothing but the identity of the study."""
    message = "digits.*: digits has no options; remove image_size from the study"
    with pytest.raises(UsageError, match=message):
        describe_data(Component(name="digits", options={"image_size": 64}), data_dir(None))
    with pytest.raises(UsageError, match=message):
        with_described_data(load_study(small_study(dataset={"ref": "digits", "image_size": 64})))


DATA = """
import numpy as np


def dots():
    images, labels = np.arange(640, dtype=np.uint8).reshape(10, 8, 8), np.arange(10) % 2
    return (images, labels), (255 - images, labels)


def failing():
    return np.load("missing.npy")


def ending():
    raise SystemExit("usage: data.py FILE")
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("failing", r"data.py:failing fails: FileNotFoundError: .*missing.npy' \(.*data.py, line 11\)"),
        ("ending", r"data.py:ending fails: SystemExit: usage: data.py FILE \(.*data.py, line 15\)"),
    ],
)
def test_a_function_that_fails_is_named_with_its_line(tmp_path, function, message):
    (tmp_path / "data.py").write_text(DATA)
    with pytest.raises(UsageError, match=message):
        describe_data(Component(name=f"{tmp_path}/data.py:{function}"), data_dir(None))


def test_a_mean_that_does_not_fit_the_images_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "data.py").write_text(DATA)
    grey = {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
    study = load_study(small_study(dataset=f"{tmp_path}/data.py:dots", data=grey, validation=2))
    with pytest.raises(UsageError, match=r"study small: data.mean: the images have 1 channels, but 3 numbers"):
        with_described_data(study)


def test_an_option_that_a_function_does_not_have_is_refused_with_those_that_it_has(tmp_path):
    (tmp_path / "data.py").write_text("def dots(count=10, *, seed=3): ...\ndef none(): ...\n")
    for name, known in (("dots", "its options are count, seed"), ("none", "it has no options")):
        with pytest.raises(UsageError, match=f"argument 'sede'; {known}"):
            describe_data(Component(name=f"{tmp_path}/data.py:{name}", options={"sede": 4}), data_dir(None))
