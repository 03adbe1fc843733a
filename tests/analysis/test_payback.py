import pytest

from kdtune.analysis.payback import Payback, charged_for_one_model, payback


def test_a_charge_is_repaid_by_what_each_prediction_saves():
    # 1 kJ, at 300 - 100 = 200 uJ a prediction.
    assert payback(1_000_000_000, 300.0, 100.0) == Payback(1_000_000_000, 5_000_000)


@pytest.mark.parametrize(("charged_uj", "predictions"), [(1000, 5), (1001, 6), (199, 1), (0, 0)])
def test_the_prediction_that_repays_the_rest_counts_whole(charged_uj, predictions):
    assert payback(charged_uj, 300.0, 100.0).predictions == predictions


@pytest.mark.parametrize("student_uj", [300.0, 300.1])
def test_a_student_that_is_not_cheaper_never_repays(student_uj):
    assert payback(1000, 300.0, student_uj) == Payback(1000, None, never=True)


def test_what_was_charged_may_not_be_known():
    assert payback(None, 300.0, 100.0) == Payback(None, None)
    assert payback(None, 100.0, 300.0) == Payback(None, None, never=True)  # whatever it was
    assert payback(None, 300.0, 100.0).as_record() == {"charged_uj": None, "predictions": None, "never": False}


def cost(charged_kwh, teacher_kwh):
    return {"per_repeat_kwh": charged_kwh, "teacher_kwh": teacher_kwh, "carbon": {"pue": 1.5}}


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
