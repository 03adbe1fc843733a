"""Studies of a user's own networks, data, loss and temperature, from the command to the results."""

import json

import pytest
from ray import tune

import kdtune
from kdtune.errors import KdtuneError, ResultsError, ResultsExistError
from tests.execution.own_components import DATA, HEADS, OWN, PAIRS
from tests.studies import small_study


def run(**changes):
    return kdtune.run_study(small_study(**{**OWN, **changes}), inline=True)


def test_a_study_of_own_components_runs_and_an_edit_makes_everything_that_depends_on_it_anew(place, forked):
    first = run()
    assert first.exit_code == 0, first.errors
    folder = first.folder / "grid"
    confusion = (folder / "confusion.csv").read_text().splitlines()
    assert confusion[0].endswith("zero,two,four,six,eight")
    frozen = kdtune.load_study(str(folder / "study.toml"))
    assert (frozen.dataset_info.train_images, frozen.dataset_info.test_images) == (300, 80)
    teachers = {path.name for path in (place / "cache" / "teachers").iterdir()}

    # The same study again meets results that exist; its components are recognised as the same.
    with pytest.raises(ResultsExistError) as exists:
        run()
    assert "differs" not in str(exists.value)

    # A module that the network's file imports is edited: other weights, another teacher, and nothing is mixed.
    (place / "heads.py").write_text(HEADS.replace("nn.Linear(width, classes)", "nn.Linear(width, classes, bias=False)"))
    with pytest.raises(ResultsExistError, match=r"differs from theirs in teacher\.digest .*student\.digest") as differs:
        run()
    assert "Continue" not in str(differs.value)  # a resume would be refused
    with pytest.raises(ResultsError, match="Tiny.* has been edited since the study began; restore the earlier source"):
        kdtune.resume_study(first.folder)
    again = kdtune.run_study(small_study(**OWN), inline=True, out="second")
    assert again.exit_code == 0
    assert {path.name for path in (place / "cache" / "teachers").iterdir()} > teachers

    # Results are read without any of the files, and without importing them.
    for name in ("nets.py", "heads.py", "data.py", "losses.py"):
        (place / name).write_text("raise RuntimeError('imported while results are read')\n")
    compare = forked(None, ["compare", "results", "--json"])  # a process that has imported none of them
    out, said = compare.communicate()
    assert compare.returncode == 0, said
    (result,) = json.loads(out)["results"]
    assert result["strategy"] == "grid"
    assert result["repeats"][0]["test"]["accuracy"] > 0


def test_other_images_end_a_resume_before_anything_is_trained(place):
    first = run()
    (place / "data.py").write_text(DATA)  # the same source
    (place / "extra.py").write_text("")
    source = DATA.replace("load_digits()", "load_digits(n_class=10)")
    assert first.exit_code == 0
    (place / "data.py").write_text(source)
    with pytest.raises(KdtuneError, match="even_digits.* has been edited since the study began"):
        kdtune.resume_study(first.folder)


def test_functions_of_a_program_are_components(place):
    def build(num_classes, in_channels):
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))

    found = run(student=build, strategies={"fixed": {}})
    assert found.exit_code == 0, found.errors
    assert found.results[0]["repeats"][0]["test"]["accuracy"] > 0


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("nn.Linear(64, 7)", r"its output has the shape \(2, 7\); expected are logits of shape \(2, 10\)"),
        ("nn.Linear(63, num_classes)", "fails for images of 1 x 8 x 8"),
        (
            "nn.Sequential(nn.Linear(64, num_classes), nn.LogSigmoid(), Root())",
            "its output for random images is not finite",
        ),
    ],
)
def test_a_network_that_does_not_fit_ends_the_command_before_anything_is_trained(place, source, problem):
    root = "class Root(nn.Module):\n    def forward(self, x):\n        return x.sqrt()\n\n\n"
    net = f"def net(num_classes, in_channels):\n    return nn.Sequential(nn.Flatten(), {source})\n"
    (place / "wrong.py").write_text(f"from torch import nn\n\n\n{root}{net}")
    with pytest.raises(KdtuneError, match=problem):
        kdtune.run_study(small_study(student="./wrong.py:net"), inline=True)
    assert not list(place.glob("results/*/*/study.toml"))
    assert not (place / "cache" / "teachers").exists()


def test_a_users_tuner_takes_functions_files_and_data_in_its_param_space(running_ray, place):
    def build(num_classes, in_channels, width):
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, width), nn.Linear(width, num_classes))

    own = {key: {**one, "ref": f"{place}/{one['ref']}"} for key in ("dataset", "teacher") for one in [OWN[key]]}
    study = small_study(**{**OWN, **own, "loss": "hkd", "student": {"ref": build, "width": 3}})
    run = tune.RunConfig(name="own", storage_path=str(place), verbose=0)
    space = {"study": study, "tau": tune.grid_search([4])}
    results = tune.Tuner(kdtune.DistillTrainable, run_config=run, param_space=space).fit()
    assert not results.errors
    [result] = results
    assert result.config["tau"] == 4 and 0 <= result.metrics["val_accuracy"] <= 1


def test_a_file_that_is_edited_during_a_study_stops_it_and_once_restored_it_goes_on(place):
    class Editing(kdtune.Watcher):
        def trial_started(self, trial):
            (place / "heads.py").write_text(HEADS + "# edited\n")

    study = small_study(**{**OWN, "teacher": "convnet_2_4_4", "strategies": {"grid": {}}})
    with pytest.raises(KdtuneError, match="has been edited since the study began"):
        found = kdtune.run_study(study, inline=True, watcher=Editing())
        raise KdtuneError("; ".join(found.errors))
    (place / "heads.py").write_text(HEADS)
    resumed = kdtune.resume_study(place / "results" / "small")
    assert resumed.exit_code == 0, resumed.errors
    counts = resumed.results[0]["cost"]["trials"]
    assert {status: count for status, count in counts.items() if count} == {"completed": 3}


def test_a_network_whose_operations_cannot_be_counted_is_named_before_anything_is_trained(place):
    (place / "pairs.py").write_text(PAIRS)
    with pytest.raises(KdtuneError, match=r"model pairs.py:Pairs: its multiply-adds cannot be counted .*needs two"):
        run(student="./pairs.py:Pairs", validation=60)
    assert not list((place / "cache").glob("teachers/*/teacher.pt"))
