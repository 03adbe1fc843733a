"""The data folder of a study reaches workers and a resumed study."""

import os
import shutil
import tomllib

import pytest
import ray
import tomli_w
from ray import tune

import kdtune
from kdtune.errors import DataError, UsageError
from kdtune.results.folder import StrategyFolder
from tests.data.sets import write_tiny_imagenet
from tests.forked import Forked
from tests.studies import KDTUNE_WITHOUT_SOCKETS, here, small_study

pytestmark = pytest.mark.study


@pytest.fixture
def data(tmp_path):
    """A data folder with a synthetic Tiny ImageNet: 60 training and 9 test images."""
    write_tiny_imagenet(tmp_path / "data", train=20, validation=3)
    return tmp_path / "data"


def tiny_study(strategy="fixed", **changes):
    training = {"epochs": 1, "batch_size": 16, "learning_rate": 0.01}
    return small_study(
        dataset="tiny_imagenet",
        validation=0.25,
        repeats=1,
        training=training,
        teacher_training=training,
        strategies={strategy: {}},
        **changes,
    )


def test_the_data_folder_reaches_workers_and_a_resumed_study(running_ray, data, tmp_path, monkeypatch):
    out = tmp_path / "results"
    monkeypatch.chdir(tmp_path)
    # Through Ray, whose workers receive the data folder only from the study.
    done = kdtune.run_study(tiny_study(data={"train_limit": 40}), out=out, data_dir="data")
    assert done.exit_code == 0, done.errors
    resolved = tomllib.loads((done.folder / "fixed" / "study.toml").read_text())["resolved"]
    sizes = resolved["workload"]
    assert (sizes["train_images"], sizes["val_images"], sizes["test_images"]) == (30, 10, 9)
    assert tomllib.loads((done.folder / "run.toml").read_text())["options"]["data_dir"] == str(data)
    assert str(data) not in (done.folder / "fixed" / "study.toml").read_text()

    # A finished study needs no data.
    aside = data.rename(tmp_path / "moved")
    assert kdtune.resume_study(done.folder).exit_code == 0

    # An unfinished study names the folder of the data.
    monkeypatch.chdir("/")
    shutil.rmtree(done.folder / "fixed")
    with pytest.raises(DataError) as refused:
        kdtune.resume_study(done.folder, inline=True)
    said = str(refused.value)
    assert str(data) in said and "moved" in said and "data_dir=DIR" in said and "run.toml" in said
    assert kdtune.resume_study(done.folder, data_dir=aside, inline=True).exit_code == 0
    assert tomllib.loads((done.folder / "run.toml").read_text())["options"]["data_dir"] == str(aside)

    # Another torch trains another teacher: its strategies are refused, those without a teacher are accepted.
    begun = StrategyFolder(done.folder / "fixed")
    spec, resolved = begun.read_study(), begun.resolved()
    begun.write_study(spec, {**resolved, "teacher": "resnet18-of-old"})
    with pytest.raises(UsageError, match="small/fixed: was run under the teacher resnet18-of-old, and here"):
        kdtune.run_study(tiny_study("grid", data={"train_limit": 40}), out=out, data_dir=aside, inline=True)
    alone = tiny_study("none", data={"train_limit": 40})
    assert kdtune.run_study(alone, out=out, data_dir=aside, inline=True).exit_code == 0
    assert not (done.folder / "grid").exists()
    begun.write_study(spec, resolved)

    # Other files are another data set, which is refused.
    shutil.copy(
        next(aside.glob("*/train/n01/images/n01_1.JPEG")), aside / "tiny-imagenet-200/train/n01/images/new.JPEG"
    )
    with pytest.raises(UsageError, match="ran on other files of tiny_imagenet"):
        kdtune.run_study(tiny_study("grid", data={"train_limit": 40}), out=out, data_dir=aside, inline=True)


def test_an_image_that_cannot_be_decoded_is_named_with_exit_code_2(data, tmp_path):
    image = data / "tiny-imagenet-200" / "train" / "n01" / "images" / "n01_2.JPEG"
    image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(DataError, match=f"{image} cannot be decoded") as refused:
        kdtune.run_study(tiny_study(), out=tmp_path / "results", data_dir=data, inline=True)
    assert refused.value.exit_code == 2
    # No strategy was begun; the energy of the inspection is recorded.
    assert [path.name for path in (tmp_path / "results" / "small").iterdir() if path.name[0] != "."] == ["sessions"]


@pytest.mark.parametrize("more", [["--dry-run"], ["--json", "--inline"]])
def test_the_command_names_a_truncated_image_in_one_line(data, tmp_path, more):
    image = data / "tiny-imagenet-200" / "val" / "images" / "val_4.JPEG"
    image.write_bytes(image.read_bytes()[:-500])
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(tiny_study()))
    done = here("study", "tiny.toml", "--data-dir", "data", *more, cwd=tmp_path)
    assert done.returncode == 2
    (error,) = [line for line in done.stderr.splitlines() if not line.endswith(" ...")]
    assert error.startswith(f"error: tiny_imagenet: {image} cannot be decoded (image file is truncated")
    assert done.stdout == ""
    assert not list(tmp_path.glob("results/*/*/*.toml"))


def test_in_a_users_tuner_the_environment_variable_names_the_data_folder(running_ray, data):
    environment = {"env_vars": {"KDTUNE_DATA_DIR": str(data), "KDTUNE_CACHE_DIR": os.environ["KDTUNE_CACHE_DIR"]}}

    @ray.remote(runtime_env=environment)
    def train():
        trainable = kdtune.DistillTrainable({"study": tiny_study(), "loss": "ce"})
        return trainable.train()

    reported = ray.get(train.remote())
    assert reported["epoch"] == 1 and reported["val_accuracy"] is not None
    assert issubclass(kdtune.DistillTrainable, tune.Trainable)


def test_missing_data_end_a_study_before_ray_starts_and_without_a_connection(tmp_path):
    asked = ("study", "digits-hkd", "--set", "dataset=cifar100", "--data-dir", "nothing")
    done = Forked(KDTUNE_WITHOUT_SOCKETS, asked, tmp_path)
    out, said = done.communicate()
    assert done.returncode == 2, said
    assert f"cifar100: not found in {tmp_path / 'nothing'}" in said
    assert "--download fetches it (169 MB)" in said
    assert len(said.splitlines()) == 1
    assert out == "" and not (tmp_path / "results").exists()
