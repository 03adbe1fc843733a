"""Weights that a user gives: reading, comparison with the study, and the cached copy."""

import argparse
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kdtune.artifacts import given_teacher
from kdtune.artifacts.given_teacher import kept_weights, provide, read_given, with_given_teacher
from kdtune.artifacts.logit_store import SINGLE
from kdtune.artifacts.training_context import TrainingContext
from kdtune.artifacts.weight_files import read_weight_file
from kdtune.catalog.builtin import MODELS, models_of
from kdtune.errors import KdtuneError, Remark, UsageError
from kdtune.models.building import build_without_values
from kdtune.specs import load_study
from kdtune.specs.teacher_identity import teacher_key
from tests.forked import Forked
from tests.recipes import identity_of, recipe_of
from tests.studies import small_study

CLASSIFIERS = models_of("classification")

pytestmark = pytest.mark.filterwarnings("ignore:torch.quantize", "ignore:TypedStorage")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def study():
    return load_study(small_study())


def weights_of(name="convnet_32", channels=1, classes=10, seed=0):
    torch.manual_seed(seed)
    return MODELS.load(name)(channels, classes).state_dict()


@pytest.fixture
def file(tmp_path):
    torch.save(weights_of(), tmp_path / "mine.pt")
    return tmp_path / "mine.pt"


def refusal(study, file):
    with pytest.raises(UsageError) as refused:
        with_given_teacher(study, file)
    said = str(refused.value)
    assert refused.value.exit_code == 2
    assert said.startswith(f"--teacher {file}: ") and len(said.splitlines()) == 1
    return said.removeprefix(f"--teacher {file}: ")


# All ways of saving weights give the same teacher


def wrapped(prefix, **weights):
    return {prefix + name: value for name, value in weights_of(**weights).items()}


def averaged():
    """A state dict as ``torch.optim.swa_utils.AveragedModel`` saves it."""
    return torch.optim.swa_utils.AveragedModel(network_of(weights_of())).state_dict()


def network_of(state):
    network = MODELS.load("convnet_32")(1, 10)
    network.load_state_dict(state)
    return network


def lightning():
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**wrapped("model."), "criterion.weight": torch.ones(10)},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9)}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(3)}}}],
    }


FORMS = {
    "a state dict": weights_of,
    "under state_dict": lambda: {"state_dict": weights_of(), "epoch": 7, "optimizer": {"lr": 0.1}},
    "under model": lambda: {"model": weights_of(), "acc": 0.9},
    "PyTorch's tutorial": lambda: {"epoch": 5, "model_state_dict": weights_of(), "loss": torch.tensor(0.3)},
    "under net": lambda: {"net": weights_of(), "acc": 90.1, "epoch": 3},
    "a key in a key": lambda: {"checkpoint": {"network": weights_of()}},
    "DataParallel": lambda: wrapped("module."),
    "both wrappers": lambda: {"state_dict": wrapped("module._orig_mod.")},
    "a compiled part": lambda: {
        name.replace("features.", "features._orig_mod."): v for name, v in weights_of().items()
    },
    "Lightning": lightning,
    "an average alone": averaged,
    "an average under a key": lambda: {"model_ema": averaged()},
    "twice the same": lambda: {"model": weights_of(), "state_dict": wrapped("module.")},
    "a student beside it": lambda: {**wrapped("teacher."), **wrapped("student.", name="convnet_2_4_4")},
    "numpy beside it": lambda: {"model": weights_of(), "best": np.float64(0.9), "history": np.arange(3)},
    "arguments beside it": lambda: {"model": weights_of(), "args": argparse.Namespace(lr=0.1, out=Path("x"))},
    "double precision": lambda: {name: value.double() for name, value in weights_of().items()},
    "parameters": lambda: {n: torch.nn.Parameter(v, v.is_floating_point()) for n, v in weights_of().items()},
    "another order": lambda: dict(reversed(weights_of().items())),
    # As before 2018, when normalisation layers did not count batches.
    "no counts": lambda: {name: value for name, value in weights_of().items() if "num_batches" not in name},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_identity_does_not_depend_on_the_way_of_saving(study, file, tmp_path, form):
    torch.save(FORMS[form](), tmp_path / "other name.pt")
    one, two = (read_given(path, study, "x") for path in (file, tmp_path / "other name.pt"))
    assert one.digest == two.digest and len(one.digest) == 16
    network = network_of(two.state)
    assert all(torch.equal(value, one.state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["mine.safetensors", "mine.pt"])
def test_a_safetensors_file_is_the_same_teacher(study, file, tmp_path, name):
    path = tmp_path / "other" / name
    path.parent.mkdir()
    save_file({n: v.contiguous() for n, v in weights_of().items()}, path)
    assert with_given_teacher(study, path) == with_given_teacher(study, file)


@pytest.mark.parametrize(
    "content, told",
    [
        (
            lambda: {"model": weights_of(), "model_ema": wrapped("module.", seed=1)},
            "the weights in 'model' were used, not their moving average in 'model_ema'; to use the average, save it in "
            "a separate file",
        ),
        (
            lambda: {"state_dict": {**wrapped("model."), **wrapped("ema_model.", seed=1)}},
            "the weights in 'state_dict' with the prefix 'model.' were used, not their moving average in 'state_dict' "
            "with the prefix 'ema_model.'; to use the average, save it in a separate file",
        ),
        (
            lambda: {"model": weights_of(), "averages": {**wrapped("module.", seed=1), "n_averaged": torch.tensor(3)}},
            "the weights in 'model' were used, not their moving average in 'averages'; to use the average, save it in "
            "a separate file",
        ),
        (
            lightning,
            "the weights in 'state_dict' with the prefix 'model.' were used; other tensors were ignored: "
            "criterion.weight",
        ),
    ],
)  # fmt: skip
def test_a_remark_names_the_weights_that_were_used(study, file, tmp_path, content, told):
    torch.save(content(), tmp_path / "both.pt")
    with pytest.warns(Remark) as remarks:
        given = with_given_teacher(study, tmp_path / "both.pt")
        provide(given, tmp_path / "both.pt")
    assert [str(one.message) for one in remarks] == [f"--teacher {tmp_path / 'both.pt'}: {told}"]  # said once
    assert given == with_given_teacher(study, file)


def test_plain_weights_give_no_remark(study, file, recwarn):
    with_given_teacher(study, file)
    assert not [one for one in recwarn.list if issubclass(one.category, Remark)]


def test_a_part_of_a_larger_tensor_is_kept_without_the_rest(study, tmp_path):
    large = {name: torch.stack([value] * 50)[7] for name, value in weights_of().items()}
    torch.save(large, tmp_path / "large.pt")
    read_given(tmp_path / "large.pt", study, "x").keep()
    (kept,) = (tmp_path / "cache" / "teachers").glob("*/teacher.pt")
    assert kept.stat().st_size * 20 < (tmp_path / "large.pt").stat().st_size


def zeros_of(name, classes):
    """Weights that need no random numbers, since only their shapes matter."""
    shapes = build_without_values(lambda: MODELS.load(name)(3, classes)).state_dict()
    return {key: torch.zeros(one.shape, dtype=one.dtype) for key, one in shapes.items()}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_network_can_be_given(name, tmp_path):
    study = load_study("cifar100-hkd", overrides=[f"teacher={name}"])
    torch.save(zeros_of(name, 100), tmp_path / "mine.pt")
    assert with_given_teacher(study, tmp_path / "mine.pt").teacher_weights
    torch.save(zeros_of(name, 10), tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt").startswith("is for 10 classes, cifar100 has 100: ")


def test_reading_draws_no_random_numbers(study, file):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with_given_teacher(study, file)
    assert torch.equal(torch.rand(2), expected)


# Values that depend on the weights


def test_other_weights_are_another_teacher_and_make_other_trials(study, file, tmp_path):
    torch.save(weights_of(seed=1), tmp_path / "other.pt")
    studies = [study, with_given_teacher(study, file), with_given_teacher(study, tmp_path / "other.pt")]
    assert len({identity_of(one, {"tau": 4}, 0) for one in studies}) == 3
    assert len({teacher_key(one, 1) for one in studies}) == 3


def test_the_training_settings_of_a_given_teacher_do_not_matter(study, file):
    given = with_given_teacher(study, file)
    other = given.model_copy(update={"teacher_seed": 9, "teacher_training": study.training})
    assert teacher_key(given, 1) == teacher_key(other, 1)
    assert teacher_key(given, 1) != teacher_key(given.model_copy(update={"split_seed": 9}), 1)


def test_a_study_with_a_trained_teacher_has_no_key_for_weights(study):
    assert "teacher_weights" not in study.model_dump(mode="json")


def test_the_identity_is_read_back_from_a_table_and_a_wrong_one_is_refused(study, file):
    given = with_given_teacher(study, file)
    assert load_study(given.model_dump(mode="json", exclude_none=True)) == given
    with pytest.raises(UsageError, match="teacher_weights"):
        load_study(small_study(teacher_weights="../../etc/passwd"))


# Refused files


def test_a_file_that_is_not_there_or_cannot_be_read(study, tmp_path):
    assert refusal(study, tmp_path / "gone.pt") == "there is no such file"
    assert refusal(study, tmp_path) == "cannot be read (Is a directory)"


NO_WEIGHTS = {
    "empty": (b"", "is empty; download or copy it again"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46827520\n",
        "is a Git LFS pointer, not the file itself; fetch the file with 'git lfs pull'",
    ),
    "a web page": (b"\n<!DOCTYPE html><html><title>Sign in</title>", "is a web page, not weights"),
    "an answer of a store": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "is a web page, not weights"),
    "compressed": (b"\x1f\x8b\x08\x00 and so on", "is compressed with gzip; unpack it first"),
    "the beginning of an archive": (b"PK\x03\x04" + b"x" * 100, "is cut short: the end of its archive is missing"),
    "text": (b"not weights at all", "it is damaged, or torch.save did not write it"),
    "no pickle": (b"\x80\x04.", "it is damaged, or torch.save did not write it"),
    "a header of safetensors": (b"\x40" + b"\0" * 7 + b'{"a": ', "is not a complete safetensors file"),
}


@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_the_kind_of_a_file_without_weights_is_named(study, tmp_path, kind):
    content, told = NO_WEIGHTS[kind]
    (tmp_path / "mine.pt").write_bytes(content)
    assert told in refusal(study, tmp_path / "mine.pt")


def test_a_pipe_is_not_waited_for(study, tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    assert refusal(study, tmp_path / "pipe.pt") == "is a pipe or a device; copy its content to a file"


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_was_cut_short(study, tmp_path, suffix):
    whole = tmp_path / f"mine{suffix}"
    if suffix == ".pt":
        torch.save(weights_of(), whole)
    else:
        save_file({name: value.contiguous() for name, value in weights_of().items()}, whole)
    whole.write_bytes(whole.read_bytes()[:-200])
    assert "download or copy it again" in refusal(study, whole)


class Harmful:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code was run')",))


@pytest.mark.parametrize("save", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what))])
def test_a_file_that_would_run_code_is_not_opened(study, tmp_path, save):
    save({"state_dict": weights_of(), "best": np.float64(0.9), "extra": Harmful()}, tmp_path / "mine.pt")
    said = refusal(study, tmp_path / "mine.pt")
    assert "only files with nothing but weights are opened" in said
    assert "it contains exec" in said or save is not torch.save


def test_other_saved_values_are_not_created(study, tmp_path):
    """numpy and other packages never interpret a file's bytes."""
    torch.save({"model": weights_of(), "best": np.float64(0.9), "args": argparse.Namespace(lr=0.1)}, tmp_path / "x.pt")
    before = set(torch.serialization.get_safe_globals())
    content = read_weight_file(tmp_path / "x.pt", "x")
    assert {type(content[key]).__module__ for key in ("best", "args")} == {"kdtune.artifacts.weight_files"}
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_whole_model_is_refused_with_what_to_type(study, tmp_path):
    torch.save(MODELS.load("convnet_32")(1, 10), tmp_path / "mine.pt")
    assert "torch.save(model.state_dict(), FILE)" in refusal(study, tmp_path / "mine.pt")


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], torch.zeros(3), {"model": {}}, {0: torch.zeros(3)}])
def test_a_file_without_weights(study, tmp_path, content):
    torch.save(content, tmp_path / "mine.pt")
    assert "contains no state dict" in refusal(study, tmp_path / "mine.pt")


def test_without_fitting_weights_the_keys_are_named(study, tmp_path):
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, "path": "x", "seed": 1}, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == (
        "contains no state dict; its keys are 'epoch', 'optimizer', 'path' and 1 more; write it with "
        "torch.save(model.state_dict(), FILE)"
    )
    torch.save({"net": {"conv.weight": torch.zeros(3)}, "head": {"weight": torch.zeros(3)}}, tmp_path / "mine.pt")
    said = refusal(study, tmp_path / "mine.pt")
    assert said.startswith("is not kdtune's convnet_32 for digits: missing: features.0.weight, ")
    assert said.endswith("(tensors were found in 'net', in 'head')")


def test_several_fitting_weights_are_refused(study, tmp_path):
    torch.save({"best": weights_of(), "last": weights_of(seed=1)}, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == (
        "contains several sets of weights of convnet_32, in 'best', in 'last'; save the ones that you mean in a "
        "separate file"
    )


def test_weights_of_another_network_that_is_known_are_named(study, tmp_path):
    torch.save(weights_of("convnet_2_4_4"), tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == (
        "is a convnet_2_4_4, but the study's teacher is convnet_32; use it with --set teacher=convnet_2_4_4"
    )


def test_the_first_differing_names_of_an_unknown_network_are_shown(study, tmp_path):
    from torchvision.models import resnet18

    cifar = load_study("cifar10-hkd")
    torch.save(resnet18(num_classes=10).state_dict(), tmp_path / "mine.pt")
    said = refusal(cifar, tmp_path / "mine.pt")
    assert said.startswith("is not kdtune's resnet18 for cifar10: missing: 0.0.weight, 0.1.weight, 0.1.bias and ")
    assert "unexpected: conv1.weight, bn1.weight, bn1.bias and " in said


def test_a_tensor_of_another_shape_is_shown_with_both(study, tmp_path):
    weights = weights_of()
    weights["features.3.weight"] = torch.zeros(32, 32, 5, 5)
    torch.save(weights, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == (
        "is not kdtune's convnet_32 for digits: of another shape: features.3.weight (32x32x5x5 instead of 32x32x3x3)"
    )


def test_weights_for_other_images_are_refused(study, tmp_path):
    torch.save(weights_of(channels=3), tmp_path / "mine.pt")
    assert "features.0.weight (32x3x3x3 instead of 32x1x3x3)" in refusal(study, tmp_path / "mine.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(study, tmp_path, value):
    weights = weights_of()
    weights["classifier.bias"][3] = value
    torch.save(weights, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt").startswith("classifier.bias contains values that are not finite")


def test_variances_below_zero_are_refused_with_their_tensor(study, tmp_path):
    weights = weights_of()
    weights["features.1.running_var"][5] = -0.25
    torch.save(weights, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt").startswith("features.1.running_var contains negative variances")


def test_weights_beyond_float32_are_refused_with_their_tensor(study, tmp_path):
    weights = {name: value.double() for name, value in weights_of().items()}
    weights["classifier.weight"][0, 0] = 1e300
    torch.save(weights, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == "classifier.weight contains numbers that exceed float32's range"


def test_a_teacher_with_overflowing_logits_is_refused_when_evaluated(study, tmp_path):
    weights = weights_of()
    for name in ("features.3.weight", "classifier.weight"):
        weights[name] *= 1e30
    torch.save(weights, tmp_path / "mine.pt")
    given = with_given_teacher(study, tmp_path / "mine.pt")
    read_given(tmp_path / "mine.pt", study, "x").keep()
    with pytest.raises(UsageError, match=r"not finite numbers in float32; the largest of its weights is .*, in [a-z]"):
        TrainingContext(given, torch.device("cpu"), threads=1).measure_teacher(tmp_path)
    assert not (tmp_path / "record.json").exists()


@pytest.mark.parametrize("augment", [[], ["crop"]])
def test_logits_beyond_float16_are_replayed_unchanged(tmp_path, augment):
    training = {"epochs": 2, "batch_size": 64, "learning_rate": 0.05, "augment": augment}
    weights = weights_of()
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] *= 1e6
    torch.save(weights, tmp_path / "mine.pt")
    losses = {}
    for mode in ("live", "replay"):
        study = load_study(small_study(loss="cmc", teacher_logits=mode, training=training))
        study = with_given_teacher(study, tmp_path / "mine.pt")
        read_given(tmp_path / "mine.pt", study, "x").keep()
        context = TrainingContext(study, torch.device("cpu"), threads=1)
        losses[mode] = [float(loss) for loss in context.distiller(recipe_of(context.study, {"tau": 1000}), 0).steps()]
    assert losses["replay"] == pytest.approx(losses["live"], rel=1e-4)
    store = context.logit_store(0)
    assert store.missing_epochs() == [] and store.dtype == SINGLE
    assert abs(store.rows(0)).max() > 65504


def test_quantised_weights_are_refused(study, tmp_path):
    weights = weights_of()
    weights["classifier.weight"] = torch.quantize_per_tensor(weights["classifier.weight"], 0.1, 0, torch.qint8)
    torch.save(weights, tmp_path / "mine.pt")
    assert "of another shape: classifier.weight (10x32 torch.qint8 instead of 10x32)" in refusal(
        study, tmp_path / "mine.pt"
    )


# The cached copy


def test_weights_are_found_in_the_cache_after_the_file_is_deleted(study, file):
    given = with_given_teacher(study, file)
    assert not kept_weights(given.teacher_weights).exists()  # reading writes nothing
    provide(given, file)
    file.unlink()
    provide(given, file)
    assert set(torch.load(kept_weights(given.teacher_weights), weights_only=True)) == set(weights_of())


def test_a_teacher_that_is_trained_needs_nothing(study, tmp_path):
    provide(study, None)
    assert not (tmp_path / "cache").exists()


def test_the_message_about_missing_weights_names_the_file(study, file, tmp_path):
    given = with_given_teacher(study, file)
    with pytest.raises(UsageError, match=r"teacher.pt: there is no such file; name a file .* with --teacher FILE"):
        provide(given, None)
    file.rename(tmp_path / "moved.pt")
    with pytest.raises(UsageError, match=f"which were in {file} when the study was started, with --teacher FILE"):
        provide(given, file)
    provide(given, tmp_path / "moved.pt")


def test_a_file_that_has_changed_since_is_refused(study, file):
    given = with_given_teacher(study, file)
    torch.save(weights_of(seed=1), file)
    with pytest.raises(
        UsageError, match=r"contains other weights \(\w{16}\) than those with which the study was started"
    ):
        provide(given, file)


@pytest.mark.parametrize(
    "harm", [lambda path: path.write_bytes(b""), lambda path: torch.save(weights_of(seed=1), path)]
)
def test_a_damaged_copy_is_replaced_or_reported(study, file, harm):
    given = with_given_teacher(study, file)
    provide(given, file)
    harm(kept_weights(given.teacher_weights))
    with pytest.raises(UsageError, match="name a file that contains the teacher's weights, with --teacher FILE"):
        provide(given, None)
    provide(given, file)
    provide(given, None)


def test_a_full_disk_is_reported(study, file, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    given = with_given_teacher(study, file)
    monkeypatch.setattr(given_teacher, "replaced_atomically", full)
    with pytest.raises(KdtuneError, match="cannot be written .No space left on device.; make room"):
        provide(given, file)


# In a worker, of kdtune or of a user's pipeline


def context_of(study):
    return TrainingContext(study, torch.device("cpu"), 1)


def test_a_worker_uses_the_given_weights_and_trains_no_teacher(study, file, monkeypatch):
    given = with_given_teacher(study, file)
    provide(given, file)
    monkeypatch.setattr(TrainingContext, "train_teacher", lambda *_: pytest.fail("was trained"))
    teacher = context_of(given).teacher
    assert all(torch.equal(value, weights_of()[name]) for name, value in teacher.state_dict().items())
    assert not teacher.training and not any(one.requires_grad for one in teacher.parameters())


def test_a_worker_reports_missing_or_unreadable_weights(study, file):
    given = with_given_teacher(study, file)
    with pytest.raises(KdtuneError, match="has not been given: .*teacher.pt is missing"):
        _ = context_of(given).teacher
    provide(given, file)
    kept_weights(given.teacher_weights).write_bytes(b"x")
    with pytest.raises(KdtuneError, match="delete its folder and give it again with --teacher FILE"):
        _ = context_of(given).teacher


def test_a_worker_refuses_a_copy_whose_weights_have_changed(study, file):
    given = with_given_teacher(study, file)
    provide(given, file)
    kept = kept_weights(given.teacher_weights)
    torch.save({name: value + 1 for name, value in torch.load(kept).items()}, kept)
    with pytest.raises(KdtuneError, match="not a readable teacher .* and give it again with --teacher FILE"):
        _ = context_of(given).teacher


KEEP = """
import sys, time
from pathlib import Path
from kdtune.artifacts.given_teacher import with_given_teacher, provide
from kdtune.specs import load_study
from tests.studies import small_study
study = with_given_teacher(load_study(small_study()), Path(sys.argv[1]))
while not Path(sys.argv[2]).exists():
    time.sleep(0.001)
for _ in range(20):
    provide(study, Path(sys.argv[1]))
print(study.teacher_weights)
"""


def test_two_processes_may_keep_the_same_at_once(study, file, tmp_path):
    start = tmp_path / "start"
    both = [Forked(KEEP, [str(file), str(start)]) for _ in range(2)]
    start.touch()
    ended = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], ended
    assert len({out for out, _ in ended}) == 1
    provide(with_given_teacher(study, file), None)
