import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtune.errors import KdtuneError, ResultsError
from kdtune.results.trial import Trial, best, evaluation_window
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from tests.damage import altered, damaged, resealed
from tests.recipes import spec_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trials.jsonl"


@pytest.fixture
def log(path) -> TrialLog:
    return TrialLog.read(path)


def suggest(log: TrialLog, name: str, index: int = 0, repeat: int = 0) -> Trial:
    return log.suggestion(name, repeat, 7 + repeat, index, {"tau": index + 2})


def everything(log: TrialLog) -> None:
    """A log with one line of each type, and several attempts."""
    log.session("morning")
    one, two = suggest(log, "one"), suggest(log, "two", 1)
    log.attempt(one)
    log.attempt(two)
    log.end(two, "failed", epochs=1, error="RuntimeError: no")
    log.end(one, "interrupted", epochs=2)
    log.stopped("interrupted")
    log.session("evening")
    log.attempt(one)
    log.end(one, "completed", epochs=3, val_accuracy=0.75, val_loss=0.5)
    log.plan_complete(0)
    log.evaluation_attempt(0)
    log.evaluation_attempt(0)
    log.evaluation(0, "one", {"accuracy": 0.7})
    log.stopped("completed")


# --- the file --------------------------------------------------------------------------------------------------


def test_a_log_is_read_back_as_it_was_in_memory(log, path):
    everything(log)
    assert TrialLog.read(path) == log


def test_a_log_is_on_disk_after_every_event(log, path):
    trial = suggest(log, "one")
    assert TrialLog.read(path) == log
    log.attempt(trial)
    assert TrialLog.read(path) == log
    log.end(trial, "pruned", epochs=2, val_accuracy=0.5, val_loss=1.0)
    assert TrialLog.read(path) == log


def test_a_log_contains_the_state_of_each_trial(log, path):
    everything(log)
    trials = TrialLog.read(path).trials
    assert trials["one"] == Trial(
        "one", 0, 7, 0, {"tau": 2}, attempts=2, status="completed", epochs=3, val_accuracy=0.75, val_loss=0.5
    )
    assert trials["two"] == Trial(
        "two", 0, 7, 1, {"tau": 3}, attempts=1, status="failed", epochs=1, error="RuntimeError: no"
    )


def test_a_log_contains_sessions_plans_and_evaluations(log, path):
    everything(log)
    read = TrialLog.read(path)
    assert read.sessions == ["morning", "evening"]
    assert read.planned == {0}
    assert read.evaluation_attempts == {0: 2}
    assert read.evaluations[0]["trial_id"] == "one"
    assert read.evaluations[0]["test"] == {"accuracy": 0.7}
    assert read.status == "completed"


def test_a_missing_log_is_empty_and_reading_does_not_create_it(path):
    log = TrialLog.read(path)
    assert (log.trials, log.status, log.sessions) == ({}, None, [])
    assert not path.exists()


def test_a_running_command_has_no_status(log):
    log.stopped("interrupted")
    log.session("again")
    assert log.status is None


@pytest.mark.parametrize(
    "damage",
    [
        "not json",
        "[]",
        "{}",
        '{"type":"merger","id":"x"}',
        '{"type":"suggestion","trial_id":"x"}',
        '{"type":"attempt","trial_id":"never suggested","attempt":1}',
        '{"type":"end","trial_id":"one","status":"completed"}',
    ],
)
def test_a_damaged_line_is_an_error_with_file_and_number(log, path, damage):
    everything(log)
    lines = path.read_text().splitlines()
    lines[4] = damage
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ResultsError) as error:
        TrialLog.read(path)
    assert str(path) in str(error.value)
    assert "line 5" in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"type": "evaluation", "repeat": 0, "test": {}},
        {"type": "evaluation", "repeat": 0, "trial_id": "never suggested", "test": {}},
        {"type": "evaluation", "repeat": 0, "trial_id": "one"},
        {"type": "status", "status": "splendid"},
    ],
)
def test_an_incomplete_evaluation_or_an_unknown_status_is_an_error(log, path, damage):
    suggest(log, "one")
    with path.open("a") as file:
        file.write(json.dumps(damage) + "\n")
    with pytest.raises(ResultsError, match="line 2"):
        TrialLog.read(path)


def test_an_unknown_type_is_named(log, path):
    suggest(log, "one")
    with path.open("a") as file:
        file.write('{"type":"merger"}\n')
    with pytest.raises(ResultsError, match="line 2.*merger"):
        TrialLog.read(path)


def test_an_incomplete_last_line_is_skipped_and_then_replaced(log, path):
    trial = suggest(log, "one")
    before = path.read_bytes()
    log.attempt(trial)
    path.write_bytes(path.read_bytes()[:-5])
    resumed = TrialLog.read(path)
    assert resumed.trials["one"].attempts == 0
    assert resumed.attempt(resumed.trials["one"]) == 1
    assert path.read_bytes().startswith(before)
    assert TrialLog.read(path) == resumed


def test_a_repeated_suggestion_line_does_not_reset_the_trial(log, path):
    everything(log)
    suggestion = path.read_text().splitlines(keepends=True)[1]
    path.write_text(path.read_text() + suggestion)
    assert TrialLog.read(path).trials == log.trials


# --- trials ----------------------------------------------------------------------------------------------------


def test_the_same_suggestion_again_returns_the_existing_trial(log, path):
    first = suggest(log, "one")
    assert suggest(log, "one", index=5) is first
    assert first.index == 0
    assert len(path.read_text().splitlines()) == 1


def test_an_ended_attempt_does_not_change(log, path):
    trial = suggest(log, "one")
    log.attempt(trial)
    log.end(trial, "completed", epochs=3, val_accuracy=0.9, val_loss=0.1)
    log.end(trial, "failed", epochs=1, error="its process died")
    assert (trial.status, trial.epochs, trial.val_accuracy, trial.error) == ("completed", 3, 0.9, None)
    assert sum(json.loads(line)["type"] == "end" for line in path.read_text().splitlines()) == 1


def test_attempts_are_numbered_from_1_and_each_has_windows(log):
    trial = suggest(log, "one")
    assert log.attempt(trial) == 1
    log.end(trial, "interrupted", epochs=1)
    assert log.attempt(trial) == 2
    assert trial.windows == ["one/1", "one/2", "one/1/synthesis", "one/2/synthesis"]


def test_a_new_attempt_opens_an_ended_trial_again(log):
    trial = suggest(log, "one")
    log.attempt(trial)
    log.end(trial, "interrupted", epochs=1)
    log.attempt(trial)
    assert trial.status is None
    log.end(trial, "completed", epochs=3, val_accuracy=0.9, val_loss=0.1)
    assert trial.status == "completed"


@pytest.mark.parametrize(
    ("status", "final"), [("completed", True), ("pruned", True), ("failed", True), ("interrupted", False)]
)
def test_only_an_interrupted_trial_is_run_again(log, status, final):
    trial = suggest(log, "one")
    assert not trial.is_final
    log.attempt(trial)
    log.end(trial, status, epochs=1)
    assert trial.is_final == final


def test_a_completed_trial_whose_weights_are_lost_is_run_again(log, path):
    trial = suggest(log, "one")
    log.attempt(trial)
    log.end(trial, "completed", epochs=3, val_accuracy=0.9, val_loss=0.1)
    log.reopen(trial)
    assert not trial.is_final
    assert best([trial]) is None
    assert TrialLog.read(path) == log


def test_a_log_is_settled_when_all_trials_are_final_and_evaluated(log):
    assert not log.is_settled(1)
    trial = suggest(log, "one")
    log.plan_complete(0)
    assert not log.is_settled(1)
    log.attempt(trial)
    log.end(trial, "completed", epochs=3, val_accuracy=0.9, val_loss=0.1)
    assert not log.is_settled(1)
    log.evaluation(0, "one", {"accuracy": 0.7})
    assert log.is_settled(1)
    assert not log.is_settled(2)


def test_a_repeat_with_only_failed_trials_is_settled_without_an_evaluation(log):
    trial = suggest(log, "one")
    log.attempt(trial)
    log.end(trial, "failed", epochs=0, error="no")
    assert not log.is_settled(1)
    log.plan_complete(0)
    assert log.is_settled(1)


def test_evaluations_are_numbered_from_1_for_each_repeat(log):
    assert [log.evaluation_attempt(repeat) for repeat in (0, 0, 1)] == [1, 2, 1]
    assert evaluation_window(7, 2) == "evaluation-7/2"


def test_a_repeats_plan_is_complete_once(log, path):
    log.plan_complete(1)
    log.plan_complete(1)
    assert len(path.read_text().splitlines()) == 1


def test_trials_of_a_repeat_come_in_the_order_of_suggestion(log):
    for index, name in enumerate(["z", "a", "m"]):
        suggest(log, name, index)
    suggest(log, "other", 0, repeat=1)
    assert [trial.id for trial in log.of_repeat(0)] == ["z", "a", "m"]


def test_a_number_that_is_not_finite_is_refused_before_it_is_written(log, path):
    trial = suggest(log, "one")
    log.attempt(trial)
    with pytest.raises(KdtuneError, match="val_loss is nan, which is not a finite number"):
        log.end(trial, "completed", epochs=3, val_accuracy=0.1, val_loss=float("nan"))
    assert TrialLog.read(path).trials["one"].status is None


# --- the choice ------------------------------------------------------------------------------------------------


def ended(name: str, index: int, accuracy: float | None, loss: float | None, status: str = "completed") -> Trial:
    return Trial(name, 0, 0, index, {"tau": index}, 1, status, 3, accuracy, loss)


def test_the_highest_accuracy_is_chosen():
    assert best([ended("a", 0, 0.8, 0.1), ended("b", 1, 0.9, 9.0), ended("c", 2, 0.7, 0.0)]).id == "b"


def test_equal_accuracies_go_by_the_lower_loss():
    assert best([ended("a", 0, 0.9, 0.3), ended("b", 1, 0.9, 0.2), ended("c", 2, 0.9, 0.4)]).id == "b"


def test_equal_losses_go_by_the_order_of_suggestion_and_not_of_ending():
    assert best([ended("late", 2, 0.9, 0.2), ended("early", 1, 0.9, 0.2)]).id == "early"


def test_only_completed_trials_can_be_chosen():
    trials = [
        ended("pruned", 0, 0.99, 0.1, "pruned"),
        ended("failed", 1, None, None, "failed"),
        ended("waiting", 2, None, None, None),
        ended("done", 3, 0.5, 1.0),
    ]
    assert best(trials).id == "done"


def test_without_a_completed_trial_nothing_is_chosen():
    assert best([]) is None
    assert best([ended("failed", 0, None, None, "failed")]) is None


# --- damaged or untrusted logs ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The file of a log, and the state of the log after each line."""
    path = tmp_path_factory.mktemp("log") / "trials.jsonl"
    everything(TrialLog.read(path))
    raw = path.read_bytes()
    lines = raw.splitlines(keepends=True)
    stages = []
    for count in range(len(lines) + 1):
        path.write_bytes(b"".join(lines[:count]))
        stages.append(TrialLog.read(path))
    return path, raw, stages


@given(st.data())
def test_a_damaged_log_is_read_as_an_earlier_state_or_is_an_error(kept, data):
    path, raw, stages = kept
    path.write_bytes(data.draw(damaged(raw)))
    try:
        assert TrialLog.read(path) in stages
    except ResultsError as error:
        assert str(path) in str(error) and "--fresh" in str(error)


@given(st.data())
def test_an_untrusted_log_is_read_or_refused_and_names_no_path_outside(kept, data):
    path, raw, _ = kept
    path.write_bytes(data.draw(altered(raw)))
    try:
        found = TrialLog.read(path)
    except ResultsError as error:
        assert str(path) in str(error)
        return
    assert all((path.parent / name).resolve().parent == path.parent for name in (*found.trials, *found.sessions))


ELSEWHERE = ["..", ".", "../up", "/etc", "a/b", "", "-rf", "a\x00b", "x" * 300, "\x1b[2J", "evaluation-0"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_trial_id_that_is_a_path_is_refused(log, path, name):
    everything(log)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_bytes(resealed([line | {"trial_id": name} if line.get("trial_id") == "one" else line for line in lines]))
    with pytest.raises(ResultsError, match=r"trials\.jsonl, line 2: the trial record is damaged \(trial_id"):
        TrialLog.read(path)


@pytest.mark.parametrize("attempts", [2**40, 10**400])
def test_implausible_numbers_of_attempts_are_refused(log, path, attempts):
    everything(log)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_bytes(resealed([line | {"attempt": attempts} if "attempt" in line else line for line in lines]))
    with pytest.raises(ResultsError, match="attempt"):
        TrialLog.read(path)


# --- an objective other than the accuracy ----------------------------------------------------------------------


def decided(name: str, index: int, accuracy: float, loss: float, objective: float) -> Trial:
    return Trial(name, 0, 0, index, {"tau": index}, 1, "completed", 3, accuracy, loss, objective)


def test_the_objective_chooses_and_not_the_accuracy_and_ties_go_by_the_lower_loss():
    trials = [decided("a", 0, 0.9, 0.1, 0.4), decided("b", 1, 0.5, 0.8, 0.6), decided("c", 2, 0.6, 0.7, 0.6)]
    assert best(trials).id == "c"


def test_where_lower_values_are_better_the_lowest_is_chosen(monkeypatch):
    from kdtune.catalog.metric import Metric
    from kdtune.results import trial

    monkeypatch.setattr(trial, "objective_of", lambda setting: Metric("error", higher_is_better=False))
    trials = [decided("a", 0, 0.9, 0.1, 0.4), decided("b", 1, 0.5, 0.8, 0.2)]
    for one in trials:
        one.spec = spec_of(load_study("digits-hkd"), {"tau": 4}, 0)
    assert best(trials).id == "b" and trials[1].score == -0.2


def test_the_objective_is_in_the_log_only_where_it_is_not_the_accuracy(log, path):
    for name, objective in (("one", None), ("two", 0.25)):
        trial = suggest(log, name)
        log.attempt(trial)
        log.end(trial, "completed", epochs=3, val_accuracy=0.5, val_loss=1.0, val_objective=objective)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert ["val_objective" in line for line in lines if line["type"] == "end"] == [False, True]
    read = TrialLog.read(path).trials
    assert (read["one"].score, read["two"].score) == (0.5, 0.25)
    assert (read["two"].val_accuracy, read["two"].val_objective) == (0.5, 0.25)
