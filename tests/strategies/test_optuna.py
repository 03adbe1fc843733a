"""What is special about the Optuna strategy."""

from contextlib import suppress
from pathlib import Path
from statistics import median

import optuna
import pytest

from kdtune.specs import SearchSpace
from kdtune.strategies.base import Outcome
from kdtune.strategies.optuna import DATABASE, Options, Optuna
from tests.recipes import points_of
from tests.servers import served

SPACE = SearchSpace.model_validate({"tau": {"low": 2, "high": 20, "step": 1}})


def run(strategy, fail=()):
    """Ask and tell until the end; the rounds that were proposed. The best tau is 5."""
    rounds = []
    while points := strategy.ask():
        rounds.append(points_of(points))
        strategy.tell(
            [
                Outcome(point, None, None)
                if point.values["tau"] in fail
                else Outcome(point, 1 - abs(point.values["tau"] - 5) / 20, 1.0)
                for point in points
            ]
        )
    return rounds


def _open_files():
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(link.readlink())


def make(seed=0, **options):
    return Optuna(SPACE, Options(**options), seed)


def test_rounds_have_the_frozen_size_and_the_last_one_the_rest():
    assert [len(points) for points in run(make(trials=7, round_size=3))] == [3, 3, 1]


def test_it_learns_where_the_good_points_are():
    points = [point["tau"] for round_ in run(make(trials=30, round_size=2)) for point in round_]
    late = points[15:]
    assert sum(abs(tau - 5) <= 3 for tau in late) > len(late) / 2


def test_the_search_continues_after_a_failed_trial():
    assert sum(len(points) for points in run(make(trials=8), fail=set(range(2, 21)))) == 8


def test_the_export_opens_in_optuna_and_holds_every_repeat_once(tmp_path):
    for seed in (0, 1):
        strategy = make(seed=seed, trials=6)
        run(strategy, fail={2})
        strategy.export(tmp_path)
        strategy.export(tmp_path)
    assert not [path for path in _open_files() if DATABASE in path]
    url = f"sqlite:///{tmp_path / DATABASE}"
    assert sorted(optuna.get_all_study_names(url)) == ["seed-0", "seed-1"]
    loaded = optuna.load_study(study_name="seed-1", storage=url)
    assert len(loaded.trials) == 6
    completed = [trial for trial in loaded.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert all(trial.value == pytest.approx(1 - abs(trial.params["tau"] - 5) / 20) for trial in completed)
    assert [path.name for path in tmp_path.iterdir()] == [DATABASE]


def test_optuna_dashboard_shows_the_export(tmp_path):
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed here")
    for seed in (0, 1):
        strategy = make(seed=seed, trials=6)
        run(strategy, fail={2})
        strategy.export(tmp_path)
    with served("optuna_dashboard._cli:main", f"sqlite:///{tmp_path / DATABASE}", "--host=127.0.0.1") as ask:
        studies = {one["study_name"]: one["study_id"] for one in ask("/api/studies")["study_summaries"]}
        assert set(studies) == {"seed-0", "seed-1"}
        trials = ask(f"/api/studies/{studies['seed-1']}?after=0")["trials"]
    kept = optuna.load_study(study_name="seed-1", storage=f"sqlite:///{tmp_path / DATABASE}").trials
    assert len(kept) == 6
    assert [(one["params"][0]["param_external_value"], one.get("values")) for one in trials] == [
        (str(one.params["tau"]), one.values) for one in kept
    ]


@pytest.mark.parametrize(
    ("name", "before"), [("what?mode=ro#x", b""), ("100%", b"no database"), ("x", b"SQLite format 3\0" + bytes(500))]
)
def test_a_damaged_export_is_begun_anew_wherever_it_lies(tmp_path, name, before):
    folder = tmp_path / name
    folder.mkdir()
    (folder / DATABASE).write_bytes(before)
    strategy = make(trials=2)
    run(strategy)
    strategy.export(folder)
    assert (folder / DATABASE).read_bytes().startswith(b"SQLite format 3")
    assert [path.name for path in folder.iterdir()] == [DATABASE] and [path.name for path in tmp_path.iterdir()] == [
        name
    ]


@pytest.mark.parametrize(
    ("dimension", "valid"),
    [
        ({"values": [2, 4, 8]}, lambda tau: tau in (2, 4, 8)),
        ({"low": 2.0, "high": 3.0}, lambda tau: 2 <= tau <= 3),
        ({"low": 0.5, "high": 2.0, "step": 0.5}, lambda tau: tau in (0.5, 1.0, 1.5, 2.0)),
        ({"low": 1, "high": 100, "log": True}, lambda tau: 1 <= tau <= 100),
        ({"low": 1, "high": 20, "step": 2, "log": True}, lambda tau: tau in range(1, 20, 2)),
        ({"low": 2, "high": 21, "step": 3}, lambda tau: tau in (2, 5, 8, 11, 14, 17, 20)),
    ],
)
def test_every_kind_of_dimension_is_searched_inside_its_points(dimension, valid):
    strategy = Optuna(SearchSpace.model_validate({"tau": dimension}), Options(trials=12), 3)
    taus = [point["tau"] for round_ in run(strategy) for point in round_]
    assert len(taus) == 12 and all(valid(tau) for tau in taus)


def test_it_maximises_the_score_and_not_the_accuracy():
    strategy = make(trials=4, startup_trials=4)
    while points := strategy.ask():
        strategy.tell([Outcome(p, 1 / p.values["tau"], 1.0, score=p.values["tau"] / 100) for p in points])
    assert strategy._study.best_value == max(trial.value for trial in strategy._study.trials)
    assert [trial.value for trial in strategy._study.trials] == [
        trial.params["tau"] / 100 for trial in strategy._study.trials
    ]


def test_pruning_ends_trials_that_are_worse_than_the_median_and_lets_the_others_go_on():
    strategy = make_pruned()
    rounds = []
    while suggestions := strategy.ask():
        rounds.append([(one.values["tau"], round(one.until, 3)) for one in suggestions])
        strategy.tell([Outcome(one, -abs(one.values["tau"] - 9), 1.0) for one in suggestions])
    rungs = [one for one in rounds if one[0][1] < 1]
    assert sum(map(len, rungs)) == 12 and {until for one in rungs for _, until in one} == {0.333}
    # The first four trials go on whatever they reached; of the others, those that are no worse than the median so far.
    seen, expected = [], []
    for number, rung in enumerate(rungs):
        seen += [-abs(tau - 9) for tau, _ in rung]
        least = median(seen) if number > 1 else -100
        expected += [rung, [(tau, 1.0) for tau, _ in rung if -abs(tau - 9) >= least]]
    assert rounds == [one for one in expected if one]
    assert 4 < sum(len(one) for one in rounds if one[0][1] == 1) < 12
    again = make_pruned()
    assert [one.values["tau"] for one in again.ask()] == [tau for tau, _ in rounds[0]]


def make_pruned():
    space = SearchSpace.model_validate({"tau": {"low": 2, "high": 20, "step": 1}})
    return Optuna(space, Options(trials=12, pruning=True), 0)
