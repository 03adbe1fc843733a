import re
import threading
from contextlib import nullcontext

import pytest
import torch

from kdtune.artifacts.training_context import TrainingContext
from kdtune.errors import MachineError
from kdtune.specs import load_study
from kdtune.specs.numerics import Numerics
from kdtune.training.numerics import Arithmetic
from kdtune.training.teacher_logits import LiveTeacher, ReplayedTeacher
from tests.recipes import recipe_of

CPU = torch.device("cpu")
AUGMENTED = [
    *("data.train_limit=300", "validation=100"),
    *("training.augment=['crop', 'flip']", "training.epochs=3", "training.milestones=[]"),
    *("teacher_training.epochs=2", "teacher_training.milestones=[]"),
]


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """A folder for trained teachers, which need not be trained anew for each test."""
    return tmp_path_factory.mktemp("teachers")


@pytest.fixture
def context_of(monkeypatch, tmp_path, teachers):
    """Makes a training context for the digits study; keywords replace fields of it. Each test has its own logits."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "teachers").symlink_to(teachers)
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))

    def make(*overrides, **fields):
        study = load_study("digits-hkd", overrides=[*AUGMENTED, *overrides])
        return TrainingContext(study.model_copy(update=fields), CPU, 1)

    return make


def losses(context, point, seed=0):
    distiller = context.distiller(recipe_of(context.study, point), seed)
    found = []
    while not distiller.done:
        found.append(distiller.train_epoch().train_loss)
    return found


@pytest.mark.parametrize(
    "point",
    [
        {"tau": 4},
        {"temperature": "stochastic"},
        {"temperature": "stochastic", "draw": "sample"},
        {"tau": 4, "restart": 1},
    ],
    ids=["fixed", "stochastic", "per sample", "restart"],
)
def test_students_of_replayed_and_of_live_logits_agree_to_the_formats_rounding(context_of, point):
    live, replayed = (losses(context_of(teacher_logits=mode), point) for mode in ("live", "replay"))
    assert live != replayed
    # Logits of size 10 are kept to 0.004; the loss curves of the two may differ by about as much.
    assert replayed == pytest.approx(live, rel=5e-3)


def test_replayed_logits_are_those_of_the_changed_images_of_each_epoch(context_of):
    context = context_of(teacher_logits="replay")
    context.distiller(recipe_of(context.study, {"tau": 4}), 0)
    train, store = context.splits.train, context.logit_store(0)
    live = LiveTeacher(context.teacher, Arithmetic(CPU))
    some = torch.tensor([5, 190, 3])
    for epoch in range(3):
        asked = live(train.changed(some, ("crop", "flip"), 0, epoch), some)
        torch.testing.assert_close(torch.tensor(store.rows(epoch)[some]).float(), asked, rtol=1e-3, atol=1e-4)
    assert not torch.equal(torch.tensor(store.rows(0)), torch.tensor(store.rows(1)))


def test_another_batch_size_or_point_shares_the_store_and_another_seed_does_not(context_of):
    folder = context_of().logit_store(0).folder
    assert context_of("training.batch_size=7", "alpha=0.5").logit_store(0).folder == folder
    assert context_of().logit_store(1).folder != folder
    assert context_of("training.augment=['crop']").logit_store(0).folder != folder
    assert context_of("teacher_seed=1").logit_store(0).folder != folder
    assert context_of("numerics.precision=bfloat16").logit_store(0).folder != folder


def test_without_random_changes_one_epoch_serves_all_repeats(context_of):
    context = context_of("training.augment=[]")
    assert context.logit_store(0).folder == context.logit_store(1).folder
    assert context.logit_store(0).shape.epochs == 1


def test_a_store_deleted_during_a_study_is_made_again(context_of):
    import shutil

    context = context_of(teacher_logits="replay")
    before = losses(context, {"tau": 4})
    shutil.rmtree(context.logit_store(0).folder)
    assert losses(context_of(teacher_logits="replay"), {"tau": 4}) == before


def test_a_store_is_not_cleaned_away_while_trainings_read_it(context_of):
    from kdtune.artifacts.caches import cached, remove

    context = context_of(teacher_logits="replay")
    distiller = context.distiller(recipe_of(context.study, {"tau": 4}), 0)
    folder = context.logit_store(0).folder
    assert remove(cached(["teacher-logits"])) == [folder]
    distiller.train_epoch()
    del distiller, context
    assert remove(cached(["teacher-logits"])) == []


def test_a_training_that_replays_never_asks_the_teacher(context_of, monkeypatch):
    context = context_of(teacher_logits="replay")
    context.distiller(recipe_of(context.study, {"tau": 4}), 0)
    again = context_of(teacher_logits="replay")
    again.distiller(recipe_of(again.study, {"tau": 4}), 0).train_epoch()
    assert "teacher" not in again.__dict__  # not even loaded


def fetching():
    return [one for one in threading.enumerate() if one.name.startswith("kdtune-logits")]


def test_an_epochs_rows_are_fetched_once_and_those_of_the_next_one_in_the_background():
    asked, released = [], threading.Event()

    def rows(epoch):
        asked.append((epoch, threading.current_thread() is threading.main_thread()))
        assert epoch != 3 or released.wait(60)
        return torch.full((4, 2), float(epoch), dtype=torch.float16)

    teacher = ReplayedTeacher(rows, CPU)
    teacher.begin_epoch(2)
    teacher.fetch_ahead(3)  # returns while the rows are still being read
    for _ in range(3):
        got = teacher(torch.empty(2, 1, 8, 8), torch.tensor([0, 3]))
        assert got.dtype == torch.float32
        assert got.tolist() == [[2.0, 2.0], [2.0, 2.0]]
    released.set()
    teacher.begin_epoch(3)
    assert asked == [(2, True), (3, False)]
    assert teacher(torch.empty(2, 1, 8, 8), torch.tensor([0, 3])).tolist() == [[3.0, 3.0], [3.0, 3.0]]
    teacher.begin_epoch(0)  # not the one that was expected
    assert asked == [(2, True), (3, False), (0, True)]


def test_a_training_fetches_what_its_next_epoch_replays_and_nothing_beyond_its_end(context_of):
    context = context_of()
    asked = []

    def rows(epoch):
        asked.append(epoch)
        return torch.zeros(len(context.splits.train), context.task.output_size, dtype=torch.float16)

    recipe = recipe_of(context.study, {"tau": 4})
    distiller = context.training(recipe, 0, ReplayedTeacher(rows, CPU))
    while not distiller.done:
        distiller.train_epoch()
    assert asked == [0, 1, 2]


def test_what_is_fetched_in_the_background_is_the_same_to_the_bit(context_of, monkeypatch):
    fetched = losses(context_of(teacher_logits="replay"), {"tau": 4})
    monkeypatch.setattr(ReplayedTeacher, "fetch_ahead", lambda self, epoch: None)
    assert losses(context_of(teacher_logits="replay"), {"tau": 4}) == fetched


@pytest.mark.parametrize("ends", [nullcontext(), pytest.raises(MachineError)], ids=["ends", "fails"])
def test_a_damaged_epoch_is_named_when_it_begins_and_no_thread_is_left(context_of, ends):
    context = context_of(teacher_logits="replay")
    distiller = context.distiller(recipe_of(context.study, {"tau": 4}), 0)
    store = context.logit_store(0)
    with ends as failure:
        if failure is not None:
            file = store.folder / "logits.npy"
            content = bytearray(file.read_bytes())
            content[-1] ^= 1  # in the last of three epochs
            file.write_bytes(content)
        while not distiller.done:
            distiller.train_epoch()
    for thread in fetching():
        thread.join(60)
    assert not fetching()
    if failure is not None:
        assert distiller.epoch == 2
        told = f"{store.folder}: the teacher's logits of epoch 3 are missing or damaged; the next command computes"
        failure.match(re.escape(told))
        assert store.missing_epochs() == [2]


def test_trainings_that_fetch_side_by_side_get_each_their_own_epoch(context_of):
    context = context_of(teacher_logits="replay")
    context.distiller(recipe_of(context.study, {"tau": 4}), 0)
    store = context.logit_store(0)
    wanted = [torch.tensor(store.rows(epoch)) for epoch in range(3)]
    wrong = []

    def look(start):
        for turn in range(100):
            epoch = (start + turn) % 3
            if not torch.equal(context._repeat_logits.rows(store, epoch), wanted[epoch]):
                wrong.append(epoch)

    threads = [threading.Thread(target=look, args=(start,)) for start in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# Precision and memory layout


def test_float32_contiguous_is_what_a_plain_call_computes(teacher, splits):
    images = splits.train.normalised(slice(0, 8))
    assert torch.equal(Arithmetic(CPU).logits(teacher, images), teacher(images))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.03)])
def test_every_way_computes_the_same_to_its_rounding(precision, tolerance, layout, study):
    arithmetic = Arithmetic(CPU, Numerics(precision=precision, memory_layout=layout, compile="off"))
    torch.manual_seed(0)
    from kdtune.catalog.builtin import MODELS

    plain = MODELS.load("resnet20")(3, 10).eval()
    images = torch.randn(16, 3, 32, 32)
    with torch.no_grad():
        wanted = plain(images)
        got = arithmetic.logits(arithmetic.place(plain, built_in=True), images)
    assert got.dtype == torch.float32
    assert float((got - wanted).norm() / wanted.norm()) < tolerance


def test_a_frozen_network_says_the_same_bit_for_bit():
    from kdtune.catalog.builtin import MODELS

    images = torch.randn(2, 3, 32, 32)
    for layout in ("contiguous", "channels_last"):
        arithmetic = Arithmetic(CPU, Numerics(precision="bfloat16", memory_layout=layout, compile="off"))
        model = arithmetic.place(MODELS.load("vgg8")(3, 10), built_in=True).eval()
        with torch.no_grad():
            says = arithmetic.logits(model, images)
            assert torch.equal(arithmetic.logits(arithmetic.freeze(model, built_in=True), images), says)
        assert {one.dtype for one in model.parameters()} == {torch.bfloat16, torch.float32}


def test_a_training_in_bfloat16_keeps_its_weights_in_float32_and_learns(context_of):
    numerics = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")
    context = context_of("training.epochs=4", numerics=numerics, teacher_logits="live")
    distiller = context.distiller(recipe_of(context.study, {"tau": 4}), 0)
    first = distiller.train_epoch()
    while not distiller.done:
        last = distiller.train_epoch()
    assert {value.dtype for value in distiller.model.parameters()} == {torch.float32}
    assert last.train_loss < 0.9 * first.train_loss


def test_a_resumed_training_in_bfloat16_is_the_same_bit_for_bit(context_of):
    numerics = Numerics(precision="bfloat16", memory_layout="channels_last", compile="off")
    context = context_of(numerics=numerics, teacher_logits="live")
    whole, half = (context.distiller(recipe_of(context.study, {"temperature": "stochastic"}), 0) for _ in range(2))
    while not whole.done:
        whole.train_epoch()
    half.train_epoch()
    resumed = context.distiller(recipe_of(context.study, {"temperature": "stochastic"}), 0)
    resumed.load_state_dict(half.state_dict())
    while not resumed.done:
        resumed.train_epoch()
    assert resumed.last_metrics() == whole.last_metrics()
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    )


# Nothing waits for the device within an epoch


class _Reads(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts how often the host needs a value from the device: a number, or how large a result is."""

    _ASK = {
        torch.ops.aten._local_scalar_dense.default,
        torch.ops.aten.nonzero.default,
        torch.ops.aten.masked_select.default,
        torch.ops.aten.equal.default,
    }

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # How many elements a mask picks is a value too.
        masks = args[1] if func is torch.ops.aten.index.Tensor else ()
        self.count += func in self._ASK or any(one is not None and one.dtype is torch.bool for one in masks)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("mode", ["live", "replay"])
@pytest.mark.parametrize("point", [{"tau": 4}, {"temperature": "stochastic"}, {"loss": "ce"}], ids=str)
def test_no_epoch_needs_a_value_from_the_device(context_of, point, mode):
    augment = "training.augment=['crop', 'flip', 'rotate', 'resized-crop', 'jitter']"
    context = context_of(augment, "training.batch_size=150", teacher_logits=mode)
    distiller = context.distiller(recipe_of(context.study, point), 0)
    list(distiller.steps())
    distiller.epoch += 1
    with _Reads() as reads:
        list(distiller.steps())
    assert reads.count == 0


@pytest.mark.parametrize(
    "ask",
    [lambda one: one.item(), lambda one: one[one > 0], lambda one: one.nonzero(), lambda one: torch.equal(one, one)],
)
def test_the_count_of_readings_can_fail(ask):
    given = torch.ones(3)[:1]
    with _Reads() as reads:
        ask(given)
    assert reads.count == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
@pytest.mark.parametrize("mode", ["live", "replay"])
def test_no_epoch_makes_the_host_wait_for_a_gpu(context_of, mode):
    cpu = context_of(teacher_logits=mode)
    cpu.distiller(recipe_of(cpu.study, {"tau": 4}), 0)
    context = TrainingContext(cpu.study, torch.device("cuda", 0), 1)
    distiller = context.distiller(recipe_of(context.study, {"temperature": "stochastic"}), 0)
    distiller.warm_up()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(2):  # two epochs, each with its own order, taus and rows
            list(distiller.steps())
            distiller.epoch += 1
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_float32_on_a_gpu_is_not_tf32(context_of):
    device = torch.device("cuda", 0)
    TrainingContext(context_of().study, device, 1)
    torch.manual_seed(0)
    convolution, images = torch.nn.Conv2d(64, 64, 3).double(), torch.randn(8, 64, 16, 16).double()
    exact = convolution(images).detach()
    got = convolution.float().to(device)(images.float().to(device)).detach().double().cpu()
    assert float((got - exact).norm() / exact.norm()) < 1e-6  # TF32 is off by some 3e-4


# Compilation


def test_compiled_networks_compute_the_same_and_another_tau_or_training_compiles_nothing(context_of, monkeypatch):
    # The networks are traced and differentiated as ever; only generating code, which takes long, is left out.
    monkeypatch.setattr("kdtune.training.compiled_networks.BACKEND", "aot_eager")
    from torch._dynamo.utils import counters

    numerics = Numerics(precision="float32", memory_layout="contiguous", compile="on")
    overrides = ("training.epochs=1", "training.batch_size=180", "training.augment=[]")
    context = context_of(*overrides, teacher_logits="replay")
    plain = context.distiller(recipe_of(context.study, {"tau": 4}), 0)
    plain.train_epoch()
    context = context_of(*overrides, teacher_logits="replay", numerics=numerics)
    counters.clear()
    first = context.distiller(recipe_of(context.study, {"tau": 4}), 0)
    assert first.train_epoch().train_loss == pytest.approx(plain.last_metrics().train_loss, rel=1e-5)
    compiled = counters["stats"]["unique_graphs"]
    assert compiled > 0
    for seed, point in enumerate([{"tau": 9}, {"temperature": "stochastic"}]):
        context.distiller(recipe_of(context.study, point), seed).train_epoch()
    assert counters["stats"]["unique_graphs"] == compiled


def test_a_compiled_network_begins_each_training_with_its_own_weights(context_of):
    numerics = Numerics(precision="float32", memory_layout="contiguous", compile="on")
    context = context_of(teacher_logits="live", numerics=numerics)
    teacher = LiveTeacher(context.untrained_teacher(), context.arithmetic)
    recipe = recipe_of(context.study, {"tau": 4})
    fresh = context_of(teacher_logits="live").training(recipe, 3, teacher).model.state_dict()
    context.training(recipe, 0, teacher)
    again = context.training(recipe, 3, teacher).model.state_dict()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(again.values(), fresh.values(), strict=True))
