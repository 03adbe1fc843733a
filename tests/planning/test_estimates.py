from dataclasses import replace

import numpy as np
import pytest

from kdtune.artifacts.compiled_code import CompiledCode
from kdtune.artifacts.logit_store import LogitShape, LogitStore
from kdtune.artifacts.shared_synthesis import SharedSynthesis
from kdtune.artifacts.synthetic_images import MadeImages, SyntheticImages
from kdtune.energy.flops import Workload
from kdtune.forecast.earlier_strategies import find_completed
from kdtune.forecast.strategy_estimate import TimeAndEnergy, Timings, WorkUsage
from kdtune.planning.estimates import Estimator
from kdtune.planning.resources import Resources
from kdtune.planning.session_estimate import SessionEstimate, session_estimate
from kdtune.planning.step_kinds import student_work
from kdtune.specs import load_study
from tests.energy.simulated import J, Node, W, two_cores
from tests.results.finished import WORKLOAD, finished, write_ledger
from tests.studies import small_study

#: 100 images at 10 ms and 50 at 2 ms are 1.1 s an epoch; the CPU is busy all the time, at 4 W.
TIMINGS = Timings(
    per_image={
        "distilling": WorkUsage(0.010, 0.010, 0.010 * 4 * J),
        "labels": WorkUsage(0.005, 0.005, 0.005 * 4 * J),
        "evaluation": WorkUsage(0.002, 0.002, 0.002 * 4 * J),
        "teacher_logits": WorkUsage(0.002, 0.002, 0.002 * 4 * J),
        "teacher": WorkUsage(0.020, 0.020, 0.020 * 4 * J),
        "teacher_evaluation": WorkUsage(0.003, 0.003, 0.003 * 4 * J),
        "synthesis": WorkUsage(0.5, 0.5, 0.5 * 4 * J),
    },
    batches={"distilling": 100, "labels": 8},
    idle_uw=0.0,
    setup=WorkUsage(2.0, 1.5, 1.5 * 4 * J),
)

SESSION = SessionEstimate(TimeAndEnergy(10.0, 204 * J, 200 * J), "A session.", complete=True)


def estimator(earlier=(), session=SESSION, timings=TIMINGS, slots=1, cpus=1.0, stores=(), images=None, **study):
    compilations = study.pop("compilations", None)
    return Estimator(
        load_study(small_study(**study)),
        Workload(**WORKLOAD),
        timings,
        two_cores(),
        Resources(cpus, 0.0),
        slots,
        list(earlier),
        session,
        stores,
        compilations,
        images,
    )


def test_an_estimate_from_timings_includes_the_start_of_a_worker_only():
    one = estimator().strategy("grid", 6)
    # A worker's start, then six trials of three epochs.
    assert one.wall_s == pytest.approx(2 + 6 * 3 * 1.1)
    joules = 1.5 * 4 + 18 * 1.1 * 4 + (2 + 18 * 1.1) * 20 + 204
    assert one.charged_uj == round(joules * J)
    assert not one.complete
    assert "timed steps" in one.basis[0] and "2.0 s" in one.basis[1] and one.basis[2] == "A session."


def test_idle_power_is_that_of_the_gpus_that_a_strategy_will_use():
    """Eight GPUs of 50 W at rest; those that no trial holds are not charged to the study."""
    eight = two_cores(gpus=tuple(f"GPU-{number}" for number in range(8)))
    timings = replace(TIMINGS, idle_uw=8 * 50 * W, spare_gpu_uw=50 * W)

    def joules(gpus, trials, strategy="grid"):
        study = load_study(small_study(teacher_logits="live"))
        resources = Resources(1.0, gpus)
        one = Estimator(study, Workload(**WORKLOAD), timings, eight, resources, 16, [], SESSION)
        found = one.strategy(strategy, trials)
        return found.charged_uj / J, found.wall_s, one.teacher(missing=1)

    without = {trials: joules(0.0, trials)[0] for trials in (5, 20)}  # all eight GPUs, as nothing tells them apart
    for gpus, trials, used in ((1.0, 5, 5), (0.25, 5, 2), (0.25, 20, 4), (0.5, 20, 8)):
        found, wall_s, _ = joules(gpus, trials)
        assert without[trials] - found == pytest.approx((8 - used) * 50 * wall_s)
    teachers = [joules(gpus, 5)[2] for gpus in (0.0, 1.0)]
    assert (teachers[0].charged_uj - teachers[1].charged_uj) / J == pytest.approx(7 * 50 * teachers[0].wall_s)


def test_an_estimate_uses_the_epochs_of_the_strategy():
    strategies = {"alone": {"strategy": "none"}, "longer": {"strategy": "none", "longer": 4}}
    plain, longer = (estimator(strategies=strategies).strategy(label, 2) for label in strategies)
    # A worker's start of 2 s, then two trials of 3 or 12 epochs of 0.6 s.
    assert plain.wall_s == pytest.approx(2 + 2 * 3 * 0.6)
    assert longer.wall_s == pytest.approx(2 + 2 * 12 * 0.6)
    assert longer.training_flops == 4 * plain.training_flops
    assert longer.gflops_millions == pytest.approx(4 * plain.gflops_millions)


def test_flops_are_those_of_the_cost_table():
    with_teacher, without = estimator().strategy("grid", 6), estimator().strategy("none", 2)
    assert with_teacher.gflops_millions == 6 * 2 * (10 * 100 + 3 * 150) * 3 / 1e15
    assert without.gflops_millions == 2 * 2 * 3 * 150 * 3 / 1e15
    assert with_teacher.training_flops == 6 * 2 * (10 * 100 + 3 * (3 * 100 + 50)) * 3


def test_compilation_is_included_as_soon_as_its_energy_is_known(tmp_path):
    alone, asking = (CompiledCode(tmp_path / name) for name in ("alone", "asking"))
    write_ledger(Node(two_cores()).start().work(10, study=10).stop(), alone.ledger)  # stopped on the way so far
    compiled = {False: str(alone.folder), True: str(asking.folder)}

    def added(name):
        plain, one = (
            estimator(compilations=kept, teacher_logits="live").strategy(name, 1) for kept in (None, compiled)
        )
        return one.charged_uj - plain.charged_uj, "Compiling the networks is not included." in one.basis

    assert added("none") == added("grid") == (0, True)
    alone.code.mkdir(parents=True)
    alone.mark_complete()
    assert added("none") == (240 * J, False) and added("grid") == (0, True)


def test_stored_logits_are_computed_once_and_charged_to_every_strategy_with_a_teacher(tmp_path):
    stores = [LogitStore(tmp_path / name, LogitShape(epochs=3, images=100, classes=10)) for name in "ab"]
    asked = estimator(stores=stores)
    passes_s = 2 * 3 * 100 * 0.002
    assert (asked.shared.logits.passes, asked.shared.logits.bytes) == (600, 600 * 10 * 2)
    assert asked.shared.logits.wall_s == pytest.approx(passes_s)
    assert asked.shared.logits.charged_uj == asked.shared.logits.due_uj == round(passes_s * 24 * J)
    for name, more in (("grid", asked.shared.logits.charged_uj), ("none", 0)):
        assert asked.strategy(name, 6).charged_uj - estimator().strategy(name, 6).charged_uj == pytest.approx(
            more, abs=1
        )
    students = 6 * 2 * 3 * (3 * 100 + 50) * 3
    assert asked.strategy("grid", 6).training_flops == students + 2 * 10 * 600


def test_cached_logits_are_charged_but_not_computed_again(tmp_path):
    store = LogitStore(tmp_path, LogitShape(epochs=1, images=4, classes=2))
    store.create()
    store.fill(0, iter([np.zeros((4, 2), np.float32)]))
    unknown = estimator(stores=[store]).shared.logits
    assert (unknown.charged_uj, unknown.due_uj, unknown.wall_s) == (None, 0, 0.0)  # nobody metered it


def test_images_are_estimated_from_timed_batches_and_charged_to_every_strategy(tmp_path):
    """Four batches of 25 images at half a second each, of which one was made before it was stopped."""
    store = SyntheticImages(tmp_path, 4)
    made = np.zeros((25, 1, 2, 2), np.uint8), *(np.zeros(25, dtype) for dtype in (np.int64, np.int64, np.float32))
    write_ledger(Node(two_cores()).start().work(10, study=10).stop(), tmp_path / "ledger")  # 240 J
    store.add(2, MadeImages(*made))
    for independent, workers in ((True, 2), (False, 1)):
        asked = estimator(slots=2, images=SharedSynthesis(store, "noise", independent, count=100, flops=7))
        found = asked.shared.images
        wall_s = 75 * 0.5 / workers
        assert (found.images, found.synthesis_flops, found.wall_s) == (100, 7, pytest.approx(wall_s))
        assert found.due_uj == pytest.approx((75 * 0.5 * 4 + wall_s * 20) * J)
        assert found.charged_uj == found.due_uj + 240 * J
        for name in ("grid", "stochastic"):
            plain, one = (each.strategy(name, 6) for each in (estimator(slots=2), asked))
            assert one.charged_uj - plain.charged_uj == pytest.approx(found.charged_uj, abs=1)
            assert one.gflops_millions == plain.gflops_millions


def test_timings_with_fewer_images_than_a_batch_are_mentioned():
    assert "timed with 8 of the 100 images of a batch" in estimator().strategy("none", 2).basis[0]
    assert "timed with" not in estimator().strategy("grid", 6).basis[0]


def test_an_earlier_run_takes_precedence_over_timings(tmp_path):
    finished(tmp_path, trial_s=2.0)
    earlier = find_completed(tmp_path, two_cores())
    one = estimator(earlier).strategy("grid", 6)
    assert one.wall_s == pytest.approx(6 + 6 * 2)
    assert one.charged_uj == pytest.approx((4 * 4 + 6 * 2 * 4 + 18 * 20 + 204) * J, rel=1e-9)
    assert one.complete
    assert all("small/grid (session s1)" in sentence for sentence in one.basis[:2])


def test_the_epochs_of_an_earlier_run_are_scaled(tmp_path):
    finished(tmp_path, trial_s=2.0)
    earlier = find_completed(tmp_path, two_cores())
    training = {**small_study()["training"], "epochs": 30}
    assert estimator(earlier, training=training).strategy("grid", 6).wall_s == pytest.approx(6 + 6 * 20)


@pytest.mark.parametrize(
    "changes",
    [
        {"student": "convnet_4_8_16"},
        {"teacher": "convnet_16_32_64"},
        {"validation": 100},
        {"synthesis": {"ref": "noise", "images": 48, "held_out": 16, "batch_size": 24}},
        {"training": {**small_study()["training"], "batch_size": 64}},
        {"training": {**small_study()["training"], "augment": ["flip"]}},
        {"cpus": 2.0},
    ],
)
def test_other_trainings_use_timings_but_the_start_of_the_earlier_run(tmp_path, changes):
    finished(tmp_path)
    one = estimator(find_completed(tmp_path, two_cores()), **changes).strategy("grid", 6)
    assert "timed steps" in one.basis[0] and "small/grid" in one.basis[1]
    assert one.complete


IMAGES = {"ref": "noise", "images": 48, "held_out": 16, "batch_size": 24}
DETECTION = {
    "task": "detection",
    "dataset": "digits_on_canvases",
    "teacher": "ssd_16_32_64_64",
    "student": "ssdlite_4_6_8_8",
    "validation": 100,
}


@pytest.mark.parametrize(
    ("earlier", "changes"),
    [
        ({"synthesis": IMAGES}, {"synthesis": {**IMAGES, "images": 96}}),
        ({"synthesis": IMAGES}, {"selection": "validation"}),
        (DETECTION, {"task": {"ref": "detection", "hint_weight": 1.0}}),
    ],
)
def test_the_epochs_of_another_task_or_other_synthetic_images_are_not_those_of_an_earlier_run(
    tmp_path, earlier, changes
):
    finished(tmp_path, **earlier)
    found = find_completed(tmp_path, two_cores())
    assert "small/grid" in estimator(found, **earlier).strategy("grid", 6).basis[0]
    assert "timed steps" in estimator(found, **{**earlier, **changes}).strategy("grid", 6).basis[0]


def test_an_earlier_run_that_recorded_no_task_has_the_default_one(tmp_path):
    file = finished(tmp_path).study_toml
    kept = [line for line in file.read_text().splitlines() if not line.startswith(("task = ", "crc32 = "))]
    file.write_text("\n".join(kept))
    assert "small/grid" in estimator(find_completed(tmp_path, two_cores())).strategy("grid", 6).basis[0]


ONE_TRAINING = {"fixed": {"tau": 4}, "meta": {"temperature": "meta"}, "dtkd": {"loss": "dtkd", "tau": 4}}
OF_ONE = {"strategies": {**dict.fromkeys(ONE_TRAINING, {}), "annealing": {}}}


@pytest.mark.parametrize("earlier", ONE_TRAINING)
def test_epochs_with_other_meta_gradients_or_another_method_are_not_those_of_an_earlier_run(tmp_path, earlier):
    finished(tmp_path, earlier, trials=1, point=ONE_TRAINING[earlier], **OF_ONE)
    found = estimator(find_completed(tmp_path, two_cores()), **OF_ONE)
    for name in OF_ONE["strategies"]:
        one = found.strategy(name, 1)
        assert ("timed steps" in one.basis[0], f"small/{earlier}" in one.basis[0]) == (name != earlier, name == earlier)
    # The epochs of the earlier run include its look-aheads.
    assert found.strategy(earlier, 1).wall_s == pytest.approx(6 + 2)


def test_look_aheads_are_added_to_timed_epochs_of_the_images_that_are_trained_on():
    training = {**small_study()["training"], "batch_size": 32}
    meta, fixed = (estimator(**OF_ONE, training=training).strategy(name, 1) for name in ("meta", "fixed"))
    assert fixed.wall_s == pytest.approx(2 + 3 * (100 * 0.010 + 50 * 0.002))
    # Of 100 images, 10 are held out; the first of three steps has a look-ahead, on 32 of the images and on those 10.
    look_ahead, epoch = 2 * 3 * (6 * 32 + 3 * 10), 2 * (10 * 90 + 3 * (3 * 90 + 50))
    assert meta.training_flops == 3 * (epoch + look_ahead)
    assert meta.wall_s == pytest.approx(2 + 3 * (90 * 0.010 + 50 * 0.002) * (1 + look_ahead / epoch))


def test_runs_without_a_teacher_are_not_used_for_trainings_with_one(tmp_path):
    finished(tmp_path)
    assert "timed steps" in estimator(find_completed(tmp_path, two_cores())).strategy("none", 2).basis[0]


def test_the_same_strategy_is_preferred_then_the_nearest_number_of_trials(tmp_path):
    finished(tmp_path, "grid", trials=2)
    finished(tmp_path, "random", trials=9, session="s2")
    finished(tmp_path, "fixed", trials=1, session="s3")
    estimates = estimator(find_completed(tmp_path, two_cores()))
    assert "small/grid" in estimates.strategy("grid", 9).basis[1]
    assert "small/random" in estimates.strategy("optuna", 10).basis[1]
    assert "small/fixed" in estimates.strategy("stochastic", 1).basis[1]


def test_an_unknown_start_is_left_out_with_a_note():
    timings = Timings(TIMINGS.per_image, TIMINGS.batches, 0.0, None)
    one = estimator(session=session_estimate([]), timings=timings).strategy("grid", 6)
    assert one.wall_s == pytest.approx(18 * 1.1)
    assert one.charged_uj == round(18 * 1.1 * 24 * J)
    assert not one.complete
    assert "not included" in one.basis[1] and "not included" in one.basis[2]


def test_on_a_shared_node_the_sessions_idle_power_is_left_out():
    dedicated, shared = (estimator(attribution=how).strategy("grid", 6) for how in ("dedicated", "shared"))
    memory_j = (2 + 18 * 1.1) * 20 - 18 * 1.1 * 20 / 2
    assert dedicated.charged_uj - shared.charged_uj == pytest.approx((200 + memory_j) * J, abs=2)


def test_the_newest_readable_session_is_used(tmp_path):
    finished(tmp_path, "grid", session="s1", age_s=100)
    newest = finished(tmp_path, "fixed", session="s2", trials=1)
    assert "small/fixed" in session_estimate(find_completed(tmp_path, two_cores())).basis
    for path in (newest.path.parent / "sessions" / "s2").iterdir():
        path.unlink()
    assert "small/grid" in session_estimate(find_completed(tmp_path, two_cores())).basis
    assert not session_estimate([]).complete


def test_a_cached_teacher_costs_nothing():
    teacher = estimator().teacher(missing=0)
    assert (teacher.wall_s, teacher.charged_uj, teacher.gflops_millions) == (0.0, 0, 0.0)
    trained = estimator().teacher(missing=1)
    assert trained.wall_s == pytest.approx(3 * (100 * 0.020 + 50 * 0.003) + 20 * 0.003)
    assert trained.charged_uj == pytest.approx(trained.wall_s * 24 * J, abs=1)
    assert trained.gflops_millions == 2 * 10 * 150 * 3 / 1e15


def test_a_given_teacher_costs_one_pass_over_validation_and_test_images():
    given = estimator(teacher_weights="0123456789abcdef")
    teacher = given.teacher(missing=1)
    assert teacher.given and teacher.gflops_millions == 0
    assert teacher.wall_s == pytest.approx((50 + 20) * 0.003)
    assert teacher.charged_uj == pytest.approx(teacher.wall_s * 24 * J, abs=1)
    again = given.teacher(missing=0)
    assert again.given and (again.wall_s, again.charged_uj) == (0.0, 0)


def test_only_necessary_work_is_timed():
    study = load_study(small_study())
    assert set(student_work(study, ["grid", "none"])) == {"distilling", "labels", "teacher_logits", "evaluation"}
    live = load_study(small_study(teacher_logits="live"))
    assert set(student_work(live, ["grid", "none"])) == {"distilling", "labels", "evaluation"}
    assert set(student_work(study, ["none"])) == {"labels", "evaluation"}
    assert set(student_work(load_study(small_study(loss="ce")), ["grid"])) == {"labels", "evaluation"}


def test_the_epochs_of_rungs_are_counted_instead_of_whole_trainings():
    strategies = {"grid": {}, "asha": {"rungs": 2}, "one": {"strategy": "asha", "rungs": 1}}
    grid, asha, one = (estimator(strategies=strategies).strategy(label, 6) for label in strategies)
    # In each of two repeats, three trials train one epoch, and one of them goes on for two more: 10 epochs of 18.
    assert asha.wall_s == pytest.approx(2 + (grid.wall_s - 2) * 10 / 18)
    assert asha.training_flops == round(grid.training_flops * 10 / 18)
    assert asha.gflops_millions == pytest.approx(grid.gflops_millions * 10 / 18) and asha.trials == 6
    assert "at most 3.3 trainings" in asha.basis[-1] and (one.wall_s, one.basis) == (grid.wall_s, grid.basis)


def test_quantised_students_have_steps_of_their_own_and_need_those_of_the_strategy_before():
    study = load_study(small_study(strategies={"qat": {"after": "fixed"}, "ptq": {}}))
    found = {label: set(student_work(study, [label])) for label in ("qat", "ptq")}
    assert found == {
        "qat": {"quantising", "distilling", "teacher_logits", "evaluation", "conversion"},
        "ptq": {"calibrating", "labels", "evaluation", "conversion"},
    }


@pytest.mark.parametrize("name", ["qat", "ptq"])
def test_each_quantised_training_is_charged_a_conversion(name):
    def estimate(conversion_s):
        work = WorkUsage(conversion_s, conversion_s, conversion_s * 4 * J)
        steps = dict.fromkeys(("quantising", "calibrating"), TIMINGS.per_image["labels"])
        timings = replace(TIMINGS, per_image={**TIMINGS.per_image, **steps, "conversion": work})
        return estimator(
            timings=replace(timings, batches={**TIMINGS.batches, "quantising": 100, "calibrating": 100}),
            strategies={name: {"share": 3.0} if name == "qat" else {}},
        ).strategy(name, 2)

    free, paid = estimate(0.0), estimate(7.0)
    assert paid.wall_s == pytest.approx(free.wall_s + 2 * 7)
    assert paid.charged_uj - free.charged_uj == pytest.approx(2 * 7 * 24 * J, abs=2)
    assert paid.training_flops == free.training_flops
