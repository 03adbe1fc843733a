import copy
import math

import pytest
import torch

from kdtune.errors import DivergedError
from kdtune.training.checkpoints import CheckpointFolder
from kdtune.training.distiller import Distiller
from kdtune.training.numerics import Arithmetic
from kdtune.training.teacher_logits import LiveTeacher
from tests.recipes import recipe_of
from tests.trainings import TASK

CPU = torch.device("cpu")
FIXED, STOCHASTIC, ALONE = {"tau": 4}, {"temperature": "stochastic"}, {"loss": "ce"}

PER_EPOCH, PER_SAMPLE = {**STOCHASTIC, "draw": "epoch"}, {**STOCHASTIC, "draw": "sample", "scale": "log"}
AGAIN, LONGER = {**STOCHASTIC, "restart": 2}, {**ALONE, "longer": 1.5}

every_point = pytest.mark.parametrize(
    "point",
    [FIXED, STOCHASTIC, PER_EPOCH, PER_SAMPLE, AGAIN, ALONE, LONGER],
    ids=["fixed", "stochastic", "per epoch", "per sample", "restart", "none", "none longer"],
)


def trained(distiller, epochs=None):
    """The metrics of the given number of epochs, or of all that are left."""
    metrics = []
    while not distiller.done and (epochs is None or len(metrics) < epochs):
        metrics.append(distiller.train_epoch())
    return metrics


def weights(distiller):
    return {name: value.clone() for name, value in distiller.model.state_dict().items()}


def are_identical(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@every_point
def test_the_same_seed_trains_the_same_weights_to_the_bit(distiller, point):
    first, second = distiller(point), distiller(point)
    assert trained(first) == trained(second)
    assert are_identical(weights(first), weights(second))


def test_what_ran_before_does_not_matter(distiller):
    first = distiller(FIXED)
    trained(first)
    torch.manual_seed(12345)
    trained(distiller(STOCHASTIC, seed=7))
    second = distiller(FIXED)
    trained(second)
    assert are_identical(weights(first), weights(second))


def test_trainings_that_take_turns_do_not_disturb_each_other(distiller):
    alone = distiller(FIXED)
    trained(alone)
    one, other = distiller(FIXED), distiller(STOCHASTIC)
    while not one.done:
        one.train_epoch()
        other.train_epoch()
    assert are_identical(weights(alone), weights(one))


def test_warming_up_one_training_does_not_disturb_another(distiller):
    alone = distiller(STOCHASTIC)
    trained(alone)
    other = distiller(STOCHASTIC)
    distiller(STOCHASTIC).warm_up()
    trained(other)
    assert are_identical(weights(alone), weights(other))


def test_another_seed_trains_other_weights(distiller):
    first, second = distiller(FIXED, seed=0), distiller(FIXED, seed=1)
    trained(first)
    trained(second)
    assert not are_identical(weights(first), weights(second))


def test_another_tau_trains_other_weights(distiller):
    first, second = distiller({"tau": 2}), distiller({"tau": 20})
    trained(first)
    trained(second)
    assert not are_identical(weights(first), weights(second))


def assert_resumed_equals_undisturbed(distiller, point, optimizer, folder):
    undisturbed = distiller(point, optimizer=optimizer)
    expected = trained(undisturbed)
    interrupted = distiller(point, optimizer=optimizer)
    for done in (1, 2):
        interrupted.train_epoch()
        CheckpointFolder(folder).save(interrupted.state_dict())
        torch.manual_seed(99)
        resumed = distiller(point, optimizer=optimizer)
        resumed.load_state_dict(CheckpointFolder(folder).load_latest())
        assert resumed.epoch == done
        assert trained(resumed) == expected[done:]
        assert are_identical(weights(resumed), weights(undisturbed))


@every_point
def test_a_resumed_training_equals_an_undisturbed_one_to_the_bit(distiller, point, tmp_path):
    assert_resumed_equals_undisturbed(distiller, point, "sgd", tmp_path)


@pytest.mark.parametrize("point", [STOCHASTIC, LONGER], ids=["stochastic", "none longer"])
def test_with_adam_a_resumed_training_equals_an_undisturbed_one_to_the_bit(distiller, point, tmp_path):
    assert_resumed_equals_undisturbed(distiller, point, "adam", tmp_path)


def test_a_training_interrupted_after_every_epoch_equals_an_undisturbed_one(distiller, tmp_path):
    undisturbed = distiller(STOCHASTIC)
    trained(undisturbed)
    current = distiller(STOCHASTIC)
    while not current.done:
        current.train_epoch()
        CheckpointFolder(tmp_path).save(current.state_dict())
        current = distiller(STOCHASTIC)
        current.load_state_dict(CheckpointFolder(tmp_path).load_latest())
    assert are_identical(weights(current), weights(undisturbed))


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_on_another_device_than_the_cpu_a_training_is_resumed_with_its_generators_and_counts_on_the_cpu(
    distiller, study, splits, teacher, tmp_path
):
    # "meta" stands for a GPU: whatever is moved there is no longer on the CPU. torch's fused SGD does not run on it.
    changed = study.model_copy(update={"training": study.training.model_copy(update={"optimizer": "adam"})})
    interrupted = distiller(STOCHASTIC, optimizer="adam")
    trained(interrupted, 1)
    CheckpointFolder(tmp_path).save(interrupted.state_dict())
    meta = torch.device("meta")
    asked = LiveTeacher(teacher, Arithmetic(CPU))
    resumed = Distiller(recipe_of(changed, STOCHASTIC), 0, TASK, splits, meta, asked)
    resumed.load_state_dict(CheckpointFolder(tmp_path).load_latest())
    state = resumed.state_dict()
    assert torch.equal(state["policy"]["generator"], interrupted.state_dict()["policy"]["generator"])
    assert all(value.device == meta for value in state["model"].values())
    kept = state["optimizer"]["state"].values()
    assert kept and all((one["exp_avg"].device, one["step"].device) == (meta, CPU) for one in kept)


def test_a_finished_training_tells_its_last_metrics_after_being_resumed(distiller, tmp_path):
    finished = distiller(FIXED)
    last = trained(finished)[-1]
    CheckpointFolder(tmp_path).save(finished.state_dict())
    resumed = distiller(FIXED)
    resumed.load_state_dict(CheckpointFolder(tmp_path).load_latest())
    assert resumed.done
    assert resumed.last_metrics() == last


# Common random numbers


def test_all_points_of_a_repeat_begin_with_the_same_weights(distiller):
    starts = [weights(distiller(point)) for point in (FIXED, {"tau": 20}, STOCHASTIC, ALONE)]
    assert all(are_identical(starts[0], start) for start in starts)


def test_each_repeat_begins_with_weights_of_its_own(distiller):
    assert not are_identical(weights(distiller(FIXED, seed=0)), weights(distiller(FIXED, seed=1)))


def seen(distilling):
    """The images of each epoch that is left, in the order of training."""
    batches, epochs = [], []

    def note(model, inputs):
        if model.training:
            batches.append(inputs[0].clone())

    distilling.model.register_forward_pre_hook(note)
    while not distilling.done:
        batches.clear()
        distilling.train_epoch()
        epochs.append(torch.cat(batches))
    return epochs


def test_all_points_of_a_repeat_see_the_same_images_in_the_same_order(distiller):
    streams = [torch.cat(seen(distiller(point))) for point in (FIXED, {"tau": 20}, STOCHASTIC, ALONE)]
    assert all(torch.equal(streams[0], stream) for stream in streams)


def test_each_epoch_has_an_order_of_its_own(distiller):
    first, second, _ = seen(distiller(FIXED))
    assert not torch.equal(first, second)


def test_each_repeat_has_an_order_of_its_own(distiller):
    assert not torch.equal(seen(distiller(FIXED, seed=0))[0], seen(distiller(FIXED, seed=1))[0])


# Restarts


def test_a_restart_begins_elsewhere_and_sees_the_images_in_another_order(distiller):
    plain, again, other = (distiller({**FIXED, **restart}) for restart in ({}, {"restart": 1}, {"restart": 2}))
    assert not are_identical(weights(plain), weights(again))
    assert not are_identical(weights(again), weights(other))
    first, second, third = (seen(one)[0] for one in (plain, again, other))
    assert not torch.equal(first, second) and not torch.equal(second, third)
    assert torch.equal(in_order(first), in_order(second))


def in_order(images):
    """Images that are the same whatever order they came in."""
    flat = images.flatten(1)
    return flat[sorted(range(len(flat)), key=lambda row: flat[row].tolist())]


def test_a_restart_draws_taus_of_its_own(distiller):
    plain, again = (trained(distiller({**STOCHASTIC, **restart})) for restart in ({}, {"restart": 1}))
    assert [metrics.tau for metrics in plain] != [metrics.tau for metrics in again]


def test_restart_0_is_the_plain_training(distiller):
    plain, named = distiller(FIXED), distiller({**FIXED, "restart": 0})
    assert trained(plain) == trained(named)
    assert are_identical(weights(plain), weights(named))


@pytest.mark.parametrize("changes", [("crop",), ("flip",), ("crop", "flip", "rotate")], ids="-".join)
def test_a_restart_sees_the_very_changes_that_the_repeats_other_trainings_see(distiller, changes):
    plain, again = (distiller({**FIXED, **restart}, augment=changes) for restart in ({}, {"restart": 1}))
    for mine, theirs in zip(seen(plain), seen(again), strict=True):
        assert torch.equal(in_order(mine), in_order(theirs))


# What an epoch tells


def test_a_longer_training_has_the_epochs_and_the_milestones_of_its_factor(distiller):
    metrics = trained(distiller({**ALONE, "longer": 2}))
    # Of 3 epochs with a milestone at 2 become 6 with one at 4.
    assert [one.epoch for one in metrics] == [1, 2, 3, 4, 5, 6]
    assert [one.learning_rate for one in metrics] == pytest.approx([0.05] * 4 + [0.01] * 2)


def test_one_tau_an_epoch_is_told_as_it_was_drawn(distiller):
    taus = [metrics.tau for metrics in trained(distiller(PER_EPOCH))]
    assert all(tau in range(2, 21) for tau in taus)
    assert len(set(taus)) > 1


def test_one_tau_an_image_is_told_as_the_mean_over_the_images(distiller):
    # 56 whole numbers: their sum is one too.
    taus = [metrics.tau for metrics in trained(distiller({**STOCHASTIC, "draw": "sample"}))]
    assert all(2 <= tau <= 20 and 56 * tau == pytest.approx(round(56 * tau), abs=1e-3) for tau in taus)


def test_epochs_are_counted_from_one_up_to_the_recipes(distiller):
    distilling = distiller(FIXED)
    assert not distilling.done
    assert [metrics.epoch for metrics in trained(distilling)] == [1, 2, 3]
    assert distilling.done


@pytest.mark.parametrize(("point", "tau"), [(FIXED, 4.0), ({"tau": 2.5}, 2.5), (ALONE, None)])
def test_the_epochs_tau_is_told(distiller, point, tau):
    assert [metrics.tau for metrics in trained(distiller(point))] == [tau] * 3


def test_a_stochastic_epoch_tells_the_mean_of_its_draws(distiller):
    # 56 images in batches of 16 are 4 whole numbers, so their mean is a multiple of 1/4.
    taus = [metrics.tau for metrics in trained(distiller(STOCHASTIC))]
    assert all(2 <= tau <= 20 and (4 * tau).is_integer() for tau in taus)
    assert len(set(taus)) > 1


def test_the_rate_of_the_last_step_is_told(distiller):
    rates = [metrics.learning_rate for metrics in trained(distiller(FIXED))]
    assert rates == pytest.approx([0.05, 0.05, 0.05 * 0.2])


def test_the_rate_is_the_one_that_trains(distiller):
    # So small a rate from the second epoch on that no weight can move.
    distilling = distiller(FIXED, milestones=(1,), gamma=1e-30)
    distilling.train_epoch()
    before = [parameter.clone() for parameter in distilling.model.parameters()]
    distilling.train_epoch()
    after = list(distilling.model.parameters())
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_loss_is_the_mean_over_the_steps(distiller, splits):
    distilling = distiller(ALONE, batch_size=1000, epochs=1)
    with torch.no_grad():
        batch = copy.deepcopy(distilling.model).train()(splits.train.normalised(slice(None)))
        expected = torch.nn.functional.cross_entropy(batch, splits.train.labels).item()
    assert distilling.train_epoch().train_loss == pytest.approx(expected, rel=1e-5)


def test_there_are_no_metrics_before_the_first_epoch(distiller):
    with pytest.raises(ValueError, match="no epoch"):
        distiller(FIXED).last_metrics()


@pytest.mark.parametrize("point", [FIXED, STOCHASTIC, ALONE], ids=["fixed", "stochastic", "none"])
def test_training_lowers_the_loss(distiller, point):
    losses = [metrics.train_loss for metrics in trained(distiller(point, epochs=8, milestones=()))]
    assert losses[-1] < 0.9 * losses[0]


def test_a_student_learns_what_there_is_to_learn(distiller):
    # A third of the images is guessed right by chance.
    assert trained(distiller(ALONE, epochs=25, milestones=(), batch_size=8))[-1].val_accuracy > 0.8


# The teacher


@pytest.mark.parametrize("point", [FIXED, STOCHASTIC])
def test_a_loss_that_compares_with_a_teacher_is_refused_without_one(study, splits, point):
    with pytest.raises(ValueError, match="'hkd' needs a teacher"):
        Distiller(recipe_of(study, point), 0, TASK, splits, CPU, teacher=None)


def test_a_student_alone_needs_no_teacher(study, splits):
    trained(Distiller(recipe_of(study, ALONE), 0, TASK, splits, CPU, teacher=None))


def test_a_student_alone_is_the_same_with_a_teacher_at_hand(study, splits, distiller):
    with_teacher, without = distiller(ALONE), Distiller(recipe_of(study, ALONE), 0, TASK, splits, CPU)
    trained(with_teacher)
    trained(without)
    assert are_identical(weights(with_teacher), weights(without))


def test_the_gradient_flows_to_the_student_only(study, splits, teacher):
    loose = copy.deepcopy(teacher).requires_grad_(True)
    asked = LiveTeacher(loose, Arithmetic(CPU))
    distilling = Distiller(recipe_of(study, FIXED), 0, TASK, splits, CPU, asked)
    distilling.train_epoch()
    assert all(parameter.grad is None for parameter in loose.parameters())
    assert all(parameter.grad is not None for parameter in distilling.model.parameters())


def test_the_teacher_is_left_as_it_was(distiller, teacher):
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    trained(distiller(FIXED))
    assert are_identical(dict(teacher.state_dict()), before)
    assert not teacher.training


# Divergence


@pytest.mark.parametrize("point", [FIXED, ALONE])
def test_a_rate_far_too_high_diverges_and_the_remedy_is_named(distiller, point):
    with pytest.raises(DivergedError, match="lower learning rate"):
        trained(distiller(point, learning_rate=1e30, epochs=10, milestones=()))


@pytest.mark.parametrize("good", [0, 1, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_its_epoch(distiller, good, value):
    distilling = distiller(FIXED)
    trained(distilling, good)
    with torch.no_grad():
        distilling.model.classifier.weight.fill_(value)
    with pytest.raises(DivergedError, match=f"in epoch {good + 1};"):
        distilling.train_epoch()


def test_a_network_that_fails_on_the_validation_images_alone_has_diverged(distiller):
    # Running statistics are used outside training only.
    distilling = distiller(FIXED)
    distilling.model.features[1].running_mean.fill_(math.nan)
    with pytest.raises(DivergedError, match="in epoch 1;"):
        distilling.train_epoch()


def weights_of(training):
    return {name: value.clone() for name, value in training.model.state_dict().items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_checkpoint_of_other_hyperparameters_brings_the_weights_and_not_the_hyperparameters(distiller, optimizer):
    donor = distiller({"tau": 4, "weight_decay": 0.0, "learning_rate": 0.01}, optimizer=optimizer)
    donor.train_epoch()
    asked = {"tau": 4, "weight_decay": 0.5, "learning_rate": 0.02}
    copied = distiller(asked, optimizer=optimizer)
    copied.load_state_dict(donor.state_dict())
    # The same training with the optimiser's own groups, and the donor's weights and momenta in it.
    expected = distiller(asked, optimizer=optimizer)
    expected.epoch = donor.epoch
    expected.model.load_state_dict(donor.model.state_dict())
    for there, here in zip(donor.model.parameters(), expected.model.parameters(), strict=True):
        expected._optimizer.state[here] = {name: value.clone() for name, value in donor._optimizer.state[there].items()}
    assert copied.train_epoch() == expected.train_epoch()
    assert copied.last_metrics().learning_rate == 0.02
    for name, value in weights_of(expected).items():
        assert torch.equal(value, copied.model.state_dict()[name])


@pytest.mark.parametrize("before", [{"tau": 4}, {"loss": "ce"}], ids=["fixed", "alone"])
def test_a_checkpoint_of_another_way_of_choosing_tau_is_gone_on_from(distiller, before):
    donor = distiller(before)
    donor.train_epoch()
    drawn = distiller({"temperature": "stochastic"})
    drawn.load_state_dict(donor.state_dict())
    first = distiller({"temperature": "stochastic"}).train_epoch()
    assert (drawn.train_epoch().epoch, drawn.last_metrics().tau) == (2, first.tau)  # its draws begin with its first one
    back = distiller(before)
    back.load_state_dict(drawn.state_dict())
    assert back.train_epoch().epoch == 3
