"""Weights that a user brings: read, held against the study, kept by their content."""

import argparse
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kdtune.artifacts import given_teacher
from kdtune.artifacts.given_teacher import identified, kept_weights, provide, read_given
from kdtune.artifacts.logit_store import SINGLE
from kdtune.artifacts.weight_files import read_weight_file
from kdtune.artifacts.workbench import Workbench
from kdtune.catalog.builtin import MODELS
from kdtune.errors import KdtuneError, Remark, UsageError
from kdtune.specs import load_study
from kdtune.specs.teacher_identity import teacher_key
from tests.recipes import identity_of, recipe_of
from tests.studies import small_study

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
        identified(study, file)
    said = str(refused.value)
    assert refused.value.exit_code == 2
    assert said.startswith(f"--teacher {file}: ") and len(said.splitlines()) == 1
    return said.removeprefix(f"--teacher {file}: ")


# Every way in which weights are saved is the same teacher


def wrapped(prefix, **weights):
    return {prefix + name: value for name, value in weights_of(**weights).items()}


def averaged():
    """As ``torch.optim.swa_utils.AveragedModel`` keeps it."""
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
def test_the_way_in_which_they_are_saved_makes_no_other_teacher(study, file, tmp_path, form):
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
    assert identified(study, path) == identified(study, file)


@pytest.mark.parametrize(
    "content, told",
    [
        (
            lambda: {"model": weights_of(), "model_ema": wrapped("module.", seed=1)},
            "the weights in 'model' were taken, not their moving average in 'model_ema'; to use that, save it in a "
            "file of its own",
        ),
        (
            lambda: {"state_dict": {**wrapped("model."), **wrapped("ema_model.", seed=1)}},
            "the weights in 'state_dict' with the prefix 'model.' were taken, not their moving average in 'state_dict' "
            "with the prefix 'ema_model.'; to use that, save it in a file of its own",
        ),
        (
            lambda: {"model": weights_of(), "averages": {**wrapped("module.", seed=1), "n_averaged": torch.tensor(3)}},
            "the weights in 'model' were taken, not their moving average in 'averages'; to use that, save it in a file "
            "of its own",
        ),
        (
            lightning,
            "the weights in 'state_dict' with the prefix 'model.' were taken; not used beside them: criterion.weight",
        ),
    ],
)  # fmt: skip
def test_which_weights_were_taken_is_said_where_there_are_others(study, file, tmp_path, content, told):
    torch.save(content(), tmp_path / "both.pt")
    with pytest.warns(Remark) as remarks:
        given = identified(study, tmp_path / "both.pt")
        provide(given, tmp_path / "both.pt")
    assert [str(one.message) for one in remarks] == [f"--teacher {tmp_path / 'both.pt'}: {told}"]  # said once
    assert given == identified(study, file)


def test_weights_alone_are_taken_without_a_word(study, file, recwarn):
    identified(study, file)
    assert not recwarn.list


def test_a_part_of_a_larger_tensor_is_kept_without_the_rest(study, tmp_path):
    large = {name: torch.stack([value] * 50)[7] for name, value in weights_of().items()}
    torch.save(large, tmp_path / "large.pt")
    read_given(tmp_path / "large.pt", study, "x").keep()
    (kept,) = (tmp_path / "cache" / "teachers").glob("*/teacher.pt")
    assert kept.stat().st_size * 20 < (tmp_path / "large.pt").stat().st_size


@pytest.mark.parametrize("name", MODELS)
def test_every_network_can_be_given(name, tmp_path):
    study = load_study("cifar100-hkd", overrides=[f"teacher={name}"])
    torch.save(weights_of(name, 3, 100), tmp_path / "mine.pt")
    assert identified(study, tmp_path / "mine.pt").teacher_weights
    torch.save(weights_of(name, 3, 10), tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == "has 10 classes, cifar100 has 100"


def test_reading_draws_nothing(study, file):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    identified(study, file)
    assert torch.equal(torch.rand(2), expected)


# What depends on them


def test_other_weights_are_another_teacher_and_make_other_trials(study, file, tmp_path):
    torch.save(weights_of(seed=1), tmp_path / "other.pt")
    studies = [study, identified(study, file), identified(study, tmp_path / "other.pt")]
    assert len({identity_of(one, {"tau": 4}, 0) for one in studies}) == 3
    assert len({teacher_key(one, 1) for one in studies}) == 3


def test_of_a_teacher_that_was_given_the_training_does_not_count(study, file):
    given = identified(study, file)
    other = given.model_copy(update={"teacher_seed": 9, "teacher_training": study.training})
    assert teacher_key(given, 1) == teacher_key(other, 1)
    assert teacher_key(given, 1) != teacher_key(given.model_copy(update={"split_seed": 9}), 1)


def test_a_study_with_a_teacher_that_is_trained_reads_as_if_none_could_be_given(study):
    assert "teacher_weights" not in study.model_dump(mode="json")


def test_the_identity_is_read_back_from_a_table_and_a_wrong_one_is_refused(study, file):
    given = identified(study, file)
    assert load_study(given.model_dump(mode="json", exclude_none=True)) == given
    with pytest.raises(UsageError, match="teacher_weights"):
        load_study(small_study(teacher_weights="../../etc/passwd"))


# What is refused


def test_a_file_that_is_not_there_or_cannot_be_read(study, tmp_path):
    assert refusal(study, tmp_path / "gone.pt") == "there is no such file"
    assert refusal(study, tmp_path) == "cannot be read (Is a directory)"


NO_WEIGHTS = {
    "empty": (b"", "is empty; download or copy it again"),
    "a Git LFS pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46827520\n",
        "is a Git LFS pointer, not the file that it stands for; fetch that with 'git lfs pull'",
    ),
    "a web page": (b"\n<!DOCTYPE html><html><title>Sign in</title>", "is a web page, not weights"),
    "an answer of a store": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "is a web page, not weights"),
    "compressed": (b"\x1f\x8b\x08\x00 and so on", "is compressed with gzip; unpack it first"),
    "the beginning of an archive": (b"PK\x03\x04" + b"x" * 100, "is cut short: the end of its archive is missing"),
    "text": (b"not weights at all", "it is damaged, or torch.save did not write it"),
    "no pickle": (b"\x80\x04.", "it is damaged, or torch.save did not write it"),
    "a header of safetensors": (b"\x40" + b"\0" * 7 + b'{"a": ', "is no whole safetensors file"),
}


@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_a_file_that_is_no_weights_is_called_what_it_is(study, tmp_path, kind):
    content, told = NO_WEIGHTS[kind]
    (tmp_path / "mine.pt").write_bytes(content)
    assert told in refusal(study, tmp_path / "mine.pt")


def test_a_pipe_is_not_waited_for(study, tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    assert refusal(study, tmp_path / "pipe.pt") == "is a pipe or a device; copy what it gives into a file"


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
    assert "what holds more than these is not opened" in said
    assert "it holds exec" in said or save is not torch.save


def test_values_beside_the_weights_are_not_made(study, tmp_path):
    """What numpy and others would make of a file's bytes is never asked of them."""
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
    assert "holds no state dict" in refusal(study, tmp_path / "mine.pt")


def test_where_nothing_fits_the_keys_that_were_found_are_named(study, tmp_path):
    torch.save({"epoch": 3, "optimizer": {"lr": 0.1}, "path": "x", "seed": 1}, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == (
        "holds no state dict; its keys are 'epoch', 'optimizer', 'path' and 1 more; write it with "
        "torch.save(model.state_dict(), FILE)"
    )
    torch.save({"net": {"conv.weight": torch.zeros(3)}, "head": {"weight": torch.zeros(3)}}, tmp_path / "mine.pt")
    said = refusal(study, tmp_path / "mine.pt")
    assert said.startswith("is not kdtune's convnet_32 for digits: missing: features.0.weight, ")
    assert said.endswith("(tensors were found in 'net', in 'head')")


def test_of_several_weights_that_fit_none_is_chosen_by_chance(study, tmp_path):
    torch.save({"best": weights_of(), "last": weights_of(seed=1)}, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == (
        "holds several weights of convnet_32, in 'best', in 'last'; save those that you mean in a file of their own"
    )


def test_weights_of_another_network_that_is_known_are_named(study, tmp_path):
    torch.save(weights_of("convnet_2_4_4"), tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == (
        "is a convnet_2_4_4, the study's teacher is convnet_32; --set teacher=convnet_2_4_4 takes it"
    )


def test_of_an_unknown_network_the_first_names_that_differ_are_shown(study, tmp_path):
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
def test_weights_that_are_no_numbers_are_refused(study, tmp_path, value):
    weights = weights_of()
    weights["classifier.bias"][3] = value
    torch.save(weights, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt").startswith("classifier.bias holds what is no finite number")


def test_variances_below_zero_are_refused_with_their_tensor(study, tmp_path):
    weights = weights_of()
    weights["features.1.running_var"][5] = -0.25
    torch.save(weights, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt").startswith("features.1.running_var holds variances below 0")


def test_weights_beyond_float32_are_refused_with_their_tensor(study, tmp_path):
    weights = {name: value.double() for name, value in weights_of().items()}
    weights["classifier.weight"][0, 0] = 1e300
    torch.save(weights, tmp_path / "mine.pt")
    assert refusal(study, tmp_path / "mine.pt") == "classifier.weight holds numbers that float32 cannot hold"


def test_a_teacher_whose_answers_overflow_is_refused_when_it_is_measured_with_its_largest_weight(study, tmp_path):
    weights = weights_of()
    for name in ("features.3.weight", "classifier.weight"):
        weights[name] *= 1e30
    torch.save(weights, tmp_path / "mine.pt")
    given = identified(study, tmp_path / "mine.pt")
    read_given(tmp_path / "mine.pt", study, "x").keep()
    with pytest.raises(UsageError, match=r"is no finite number in float32; the largest of its weights is .*, in [a-z]"):
        Workbench(given, torch.device("cpu"), threads=1).measure_teacher(tmp_path)
    assert not (tmp_path / "record.json").exists()


@pytest.mark.parametrize("augment", [[], ["crop"]])
def test_a_teacher_whose_logits_exceed_float16_is_replayed_as_it_answers(tmp_path, augment):
    training = {"epochs": 2, "batch_size": 64, "learning_rate": 0.05, "augment": augment}
    weights = weights_of()
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] *= 1e6
    torch.save(weights, tmp_path / "mine.pt")
    losses = {}
    for mode in ("live", "replay"):
        study = load_study(small_study(loss="cmc", teacher_logits=mode, training=training))
        study = identified(study, tmp_path / "mine.pt")
        read_given(tmp_path / "mine.pt", study, "x").keep()
        bench = Workbench(study, torch.device("cpu"), threads=1)
        losses[mode] = [float(loss) for loss in bench.distiller(recipe_of(bench.study, {"tau": 1000}), 0).steps()]
    assert losses["replay"] == pytest.approx(losses["live"], rel=1e-4)
    store = bench.logit_store(0)
    assert store.missing_epochs() == [] and store.dtype == SINGLE
    assert abs(store.rows(0)).max() > 65504


def test_quantised_weights_are_refused(study, tmp_path):
    weights = weights_of()
    weights["classifier.weight"] = torch.quantize_per_tensor(weights["classifier.weight"], 0.1, 0, torch.qint8)
    torch.save(weights, tmp_path / "mine.pt")
    assert "of another shape: classifier.weight (10x32 torch.qint8 instead of 10x32)" in refusal(
        study, tmp_path / "mine.pt"
    )


# Kept by their content


def test_they_are_kept_and_found_again_when_the_file_is_gone(study, file):
    given = identified(study, file)
    assert not kept_weights(given.teacher_weights).exists()  # looking at them leaves nothing behind
    provide(given, file)
    file.unlink()
    provide(given, file)
    assert set(torch.load(kept_weights(given.teacher_weights), weights_only=True)) == set(weights_of())


def test_a_teacher_that_is_trained_needs_nothing(study, tmp_path):
    provide(study, None)
    assert not (tmp_path / "cache").exists()


def test_weights_that_are_gone_are_asked_for(study, file, tmp_path):
    given = identified(study, file)
    with pytest.raises(UsageError, match=r"teacher.pt: there is no such file; name a file .* with --teacher FILE"):
        provide(given, None)
    file.rename(tmp_path / "moved.pt")
    with pytest.raises(UsageError, match=f"which were in {file} when the study began, with --teacher FILE"):
        provide(given, file)
    provide(given, tmp_path / "moved.pt")


def test_a_file_that_has_changed_since_is_refused(study, file):
    given = identified(study, file)
    torch.save(weights_of(seed=1), file)
    with pytest.raises(UsageError, match=r"holds other weights \(\w{16}\) than the study was begun with"):
        provide(given, file)


@pytest.mark.parametrize(
    "harm", [lambda path: path.write_bytes(b""), lambda path: torch.save(weights_of(seed=1), path)]
)
def test_a_damaged_copy_is_replaced_or_told(study, file, harm):
    given = identified(study, file)
    provide(given, file)
    harm(kept_weights(given.teacher_weights))
    with pytest.raises(UsageError, match="name a file that holds the teacher's weights, with --teacher FILE"):
        provide(given, None)
    provide(given, file)
    provide(given, None)


def test_a_full_disk_is_told(study, file, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    given = identified(study, file)
    monkeypatch.setattr(given_teacher, "replaced_atomically", full)
    with pytest.raises(KdtuneError, match="cannot be kept .No space left on device.; make room"):
        provide(given, file)


# In a worker, of kdtune's own or of somebody else's pipeline


def bench_of(study):
    return Workbench(study, torch.device("cpu"), 1)


def test_a_worker_imitates_the_given_weights_and_trains_no_teacher(study, file, monkeypatch):
    given = identified(study, file)
    provide(given, file)
    monkeypatch.setattr(Workbench, "train_teacher", lambda *_: pytest.fail("was trained"))
    teacher = bench_of(given).teacher
    assert all(torch.equal(value, weights_of()[name]) for name, value in teacher.state_dict().items())
    assert not teacher.training and not any(one.requires_grad for one in teacher.parameters())


def test_a_worker_that_does_not_find_them_or_cannot_read_them_says_so(study, file):
    given = identified(study, file)
    with pytest.raises(KdtuneError, match="has not been given: .*teacher.pt is missing"):
        _ = bench_of(given).teacher
    provide(given, file)
    kept_weights(given.teacher_weights).write_bytes(b"x")
    with pytest.raises(KdtuneError, match="delete its folder and give it again with --teacher FILE"):
        _ = bench_of(given).teacher


def test_a_worker_refuses_a_copy_whose_weights_have_changed(study, file):
    given = identified(study, file)
    provide(given, file)
    kept = kept_weights(given.teacher_weights)
    torch.save({name: value + 1 for name, value in torch.load(kept).items()}, kept)
    with pytest.raises(KdtuneError, match="not a readable teacher .* and give it again with --teacher FILE"):
        _ = bench_of(given).teacher


KEEP = """
import sys
from pathlib import Path
from kdtune.artifacts.given_teacher import identified, provide
from kdtune.specs import load_study
from tests.studies import small_study
study = identified(load_study(small_study()), Path(sys.argv[1]))
sys.stdin.readline()
for _ in range(20):
    provide(study, Path(sys.argv[1]))
print(study.teacher_weights)
"""


def test_two_processes_may_keep_the_same_at_once(study, file):
    both = [
        subprocess.Popen([sys.executable, "-c", KEEP, str(file)], stdin=-1, stdout=-1, stderr=-1, text=True)
        for _ in range(2)
    ]
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    ended = [one.communicate(timeout=120) for one in both]
    assert [one.returncode for one in both] == [0, 0], ended
    assert len({out for out, _ in ended}) == 1
    provide(identified(study, file), None)
