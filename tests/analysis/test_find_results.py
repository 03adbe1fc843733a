"""Search for results in places that a shell's ``*`` names."""

import json

import pytest

import kdtune
from kdtune.analysis.find_results import find_results
from kdtune.errors import Remark, ResultsError
from kdtune.results.folder import StudyFolder
from tests.results.several import ran
from tests.studies import here

ACCURACIES = [0.5, 0.6, 0.7]


@pytest.fixture
def results(tmp_path):
    """Return a study with two strategies, an earlier run of one that was put aside, and other files."""
    results = tmp_path / "results"
    ran(results, "grid", ACCURACIES, trial_s=[1, 1, 1])
    study = StudyFolder(results / "small")
    study.put_aside(["grid"])
    for strategy in ("grid", "stochastic"):
        ran(results, strategy, ACCURACIES, trial_s=[1, 1, 1])
    for folder in (study.session("s1"), results / "plots"):
        folder.mkdir(parents=True)
    for file in (results / "notes.txt", study.path / "report.html"):
        file.touch()
    return results


def named(folders):
    return [f"{folder.path.parent.name}/{folder.path.name}" for folder in folders]


def test_places_without_results_are_skipped_and_named(results):
    with pytest.warns(Remark) as told:
        found = find_results(sorted((results / "small").glob("*")))
    assert named(found) == ["small/grid", "small/stochastic"]
    (remark,) = told
    skipped = str(remark.message).removeprefix("skipped because they contain no results: ").split(", ")
    others = ("abandoned", "report.html", "run.toml", "sessions")
    assert skipped == [str(results / "small" / name) for name in others]


@pytest.mark.parametrize("place", ["small", "small/grid", "."])
def test_folders_with_results_give_no_remark(results, recwarn, place):
    assert "small/grid" in named(find_results(str(results / place)))
    assert not [one for one in recwarn.list if issubclass(one.category, Remark)]


def test_runs_that_were_put_aside_are_read_only_if_named_alone(results):
    aside = results / "small" / "abandoned"
    assert named(find_results([aside])) == ["abandoned/grid-1"]
    assert named(find_results([results / "small" / "grid", aside / "grid-1"])) == ["small/grid", "abandoned/grid-1"]


@pytest.mark.parametrize("places", [["small/run.toml"], ["small/run.toml", "plots"], ["small/sessions"], []])
def test_without_any_results_the_message_says_what_to_name(results, places):
    with pytest.raises(ResultsError, match="no results here; name a folder that 'kdtune study' wrote") as refused:
        find_results([results / place for place in places])
    assert all(str(results / place) in str(refused.value) for place in places)


def test_a_study_whose_strategies_have_not_begun_is_to_be_resumed(tmp_path):
    StudyFolder(tmp_path / "my study").path.mkdir()
    StudyFolder(tmp_path / "my study").write_run({"strategies": ["grid"]})
    for place in (tmp_path, tmp_path / "my study"):
        with pytest.raises(ResultsError, match=r"no strategy has begun here; .*'kdtune resume '.*my study''"):
            find_results(place)


def test_a_folder_that_does_not_exist_is_refused_even_among_others(results):
    with pytest.raises(ResultsError, match="smal: no results here"):
        find_results([results / "small", results / "smal"])


@pytest.mark.parametrize("pattern", ["results/small/*", "results/*"])
def test_every_command_accepts_the_expansion_of_a_glob(results, pattern):
    cwd = results.parent
    places = sorted(str(path.relative_to(cwd)) for path in cwd.glob(pattern))
    for arguments in (["compare"], ["compare", "--paper"], ["claims"]):
        done, plain = here(*arguments, *places, "--json", cwd=cwd), here(*arguments, "results/small", "--json", cwd=cwd)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == json.loads(plain.stdout)
        (note,) = (line for line in done.stderr.splitlines() if line.startswith("note: "))
        assert ("results/small/run.toml" if "small" in pattern else "results/plots") in note
        assert "note: " not in plain.stderr
    refused = here("inference", *places, cwd=cwd)  # such results have no weights
    assert refused.returncode == 2 and "run.toml: no results" not in refused.stderr
    assert refused.stderr.startswith("note: skipped")


@pytest.mark.filterwarnings("ignore::kdtune.errors.Remark")
def test_python_takes_one_place_or_several(results):
    everything = [*(results / "small").glob("*")]
    assert len(kdtune.load_results(everything).trials) == len(kdtune.load_results(results).trials) == 6
    assert len(kdtune.compare(everything).results) == len(kdtune.compare(str(results)).results) == 2
