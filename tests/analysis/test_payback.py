import pytest

from kdtune.analysis.payback import charged_for_one_model, payback, paybacks
from kdtune.storage.records import as_record
from tests.results.typed import strategy_result

#: 200 uJ a prediction, deviation 10: 95% of Student's t with 2 degrees, 4.303 x 10 / sqrt 3, are 24.84.
SAVED_UJ = [190.0, 200.0, 210.0]


def test_a_charge_is_repaid_by_what_each_prediction_saves_within_a_range():
    found = payback(1_000_000_000, SAVED_UJ)
    assert (found.predictions, found.never, found.unsettled) == (5_000_000, False, "")
    assert found.fewest == pytest.approx(1e9 / 224.84, rel=1e-4) and found.most == pytest.approx(1e9 / 175.16, rel=1e-4)


@pytest.mark.parametrize(("charged_uj", "predictions"), [(1000, 5), (1001, 6), (199, 1), (0, 0)])
def test_the_prediction_that_repays_the_rest_counts_whole(charged_uj, predictions):
    assert payback(charged_uj, SAVED_UJ).predictions == predictions


def test_a_student_with_higher_energy_never_repays_any_charge():
    for charged_uj in (1000, None):
        found = payback(charged_uj, [-uj for uj in SAVED_UJ])
        assert (found.charged_uj, found.predictions, found.never, found.unsettled) == (charged_uj, None, True, "")


@pytest.mark.parametrize(
    ("saved_uj", "shared", "why"),
    [
        # As networks that are the same measured: their turns spread by more than they are apart.
        ([18.0, -150.0, 200.0, 60.0, -40.0], False, "not significantly different from 0"),
        ([-18.0, 150.0, -200.0, -60.0, 40.0], False, "not significantly different from 0"),
        ([200.0, 201.0], False, "3 differing turns"),
        ([], False, "3 differing turns"),
        (SAVED_UJ, True, "another study was metered"),
    ],
)
def test_an_unsettled_payback_is_neither_a_number_nor_never(saved_uj, shared, why):
    found = payback(1000, saved_uj, shared=shared)
    assert (found.predictions, found.fewest, found.most, found.never) == (None, None, None, False)
    assert why in found.unsettled


def test_what_was_charged_may_not_be_known():
    assert as_record(payback(None, SAVED_UJ)) == {
        "charged_uj": None,
        "predictions": None,
        "fewest": None,
        "most": None,
        "never": False,
        "unsettled": "",
    }


@pytest.mark.parametrize("shared", [False, True])
def test_paybacks_are_of_what_is_charged_by_now_unless_the_machine_was_shared(shared):
    found = paybacks(SAVED_UJ, cost(3e-6, 1.5e-6), shared=shared)
    assert found.one_model.charged_uj == 7_200_000
    assert found.with_teacher.predictions == (None if shared else 54_000)


def cost(charged_kwh, teacher_kwh):
    document = {"per_repeat_kwh": charged_kwh, "teacher_kwh": teacher_kwh, "carbon": {"pue": 1.5}}
    return strategy_result({"strategy": "grid", "cost": document}).cost


@pytest.mark.parametrize(
    ("charged_kwh", "teacher_kwh", "expected"),
    [
        # 3e-6 kWh at the meter of the building are 2e-6 kWh of the computers, 7.2 J.
        (3e-6, 1.5e-6, (7_200_000, 10_800_000)),
        (3e-6, 0.0, (7_200_000, 7_200_000)),  # a strategy without a teacher
        (3e-6, None, (7_200_000, None)),  # a teacher that was given
        (None, 1.5e-6, (None, None)),  # nothing was metered
    ],
)
def test_one_model_is_charged_its_repeat_and_with_the_teacher_all_of_that(charged_kwh, teacher_kwh, expected):
    assert charged_for_one_model(cost(charged_kwh, teacher_kwh)) == expected
