"""Foreign or damaged results are refused before Ray starts."""

import json
import shutil
import socket
import sys

import pytest

import kdtune
from kdtune.cli.app import main
from kdtune.errors import KdtuneError
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.trial_log import TrialLog
from tests.damage import resealed
from tests.results.finished import CARBON, finished


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = finished(tmp_path_factory.mktemp("results"), "grid")
    folder.study.write_run(
        {
            "strategies": ["grid"],
            "options": {"cpus_per_trial": 1.0, "gpus_per_trial": 0.0, "data_dir": "/nowhere"},
            "carbon": {key: value for key, value in CARBON.as_record().items() if value is not None},
            "study": folder.read_study().model_dump(mode="json", exclude_none=True),
        }
    )
    return folder.study


@pytest.fixture
def study(whole, tmp_path):
    """A copy that a test may change."""
    return StudyFolder(shutil.copytree(whole.path, tmp_path / "results" / "small"))


def refusal(study):
    with pytest.raises(KdtuneError) as refused:
        kdtune.resume_study(study.path)
    return str(refused.value)


def test_a_finished_study_is_resumed_without_ray(study):
    left_over = study.strategy("grid").checkpoints("0123456789ab")  # from a command that was killed at its end
    left_over.mkdir(parents=True)
    assert kdtune.resume_study(study.path).exit_code == 0
    assert not left_over.parent.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("strategies", ["../../elsewhere"]),
        ("strategies", ["/etc"]),
        ("strategies", ["no-such"]),
        ("strategies", [3]),
        ("strategies", "grid"),
        ("options", {}),
        ("options", {"cpus_per_trial": "1", "gpus_per_trial": 0.0}),
        ("options", {"cpus_per_trial": 0.0, "gpus_per_trial": 0.0}),
        ("options", {"cpus_per_trial": 1.0, "gpus_per_trial": 0.0, "data_dir": 3}),
        ("budget", {"max_kwh": "all"}),
        ("carbon", {}),
        ("study", {"name": "../up"}),
        ("study", "digits-hkd"),
    ],
)
def test_an_invalid_value_in_run_toml_is_named(study, key, value):
    study.write_run({**study.read_run(), key: value})
    told = refusal(study)
    assert str(study.run_toml) in told and len(told.splitlines()) == 1


def test_a_study_that_differs_from_the_begun_one_is_refused(study):
    asked = study.read_run()
    study.write_run({**asked, "study": {**asked["study"], "seed": 1}})
    assert "in seed (0 there, 1 now)" in refusal(study)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\x00b\n", b"/" + b"x" * 300 + b"\n"])
def test_a_damaged_record_of_a_session_is_named(study, content):
    (study.session("s1") / "made.txt").write_bytes(content)
    assert str(study.session("s1") / "made.txt") in refusal(study)


def test_a_folder_without_a_strategy_is_named(study):
    shutil.copytree(study.strategy("grid").path, study.path / "-stray")
    assert "-stray: small has no strategy of this name" in refusal(study)


def test_foreign_trial_logs_cannot_remove_files_outside_their_folder(study, tmp_path):
    precious = tmp_path / "home" / "precious"
    precious.mkdir(parents=True)
    grid = study.strategy("grid")
    last = list(TrialLog.read(grid.trials).trials)[-1]
    lines = [json.loads(line) for line in grid.trials.read_text().splitlines() if last not in line]
    grid.trials.write_bytes(resealed([line for line in lines if line["type"] not in ("planned", "status")]))
    (grid.path / "checkpoints").symlink_to(precious.parent)
    assert "checkpoints: is a symbolic link" in refusal(study)
    assert precious.is_dir()


# --- output, without connections ------------------------------------------------------------------


def test_hostile_names_and_errors_are_escaped(study, monkeypatch, capsys):
    hostile = "=1+1|<script>`[red]\x1b[2J"
    study.strategy("grid").path.rename(study.path / hostile)
    folder = StrategyFolder(study.path / hostile)
    lines = [json.loads(line) for line in folder.trials.read_text().splitlines()]
    last = list(TrialLog.read(folder.trials).trials)[-1]
    for line in lines:
        if line["type"] == "end" and line["trial_id"] == last:
            line |= {"status": "failed", "error": "\x1b]0;x\x07[/red] <b> | ![i](http://h)"}
    folder.trials.write_bytes(resealed(lines))
    outputs = []
    for arguments in ([], ["--markdown", "--csv", str(study.path / "out.csv")]):
        monkeypatch.setattr(sys, "argv", ["kdtune", "compare", str(study.path), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
        outputs.append(capsys.readouterr().out)
    plain, markdown = outputs
    assert "=1+1|<script>`[red][2J" in plain and "]0;x[/red] <b>" in plain
    assert "\x1b" not in plain + markdown and "\x07" not in plain + markdown
    assert "<script>" not in markdown and "<b>" not in markdown and "](http" not in markdown.replace("\\](", "")
    assert "'=1+1" in (study.path / "out.csv").read_text()


def test_results_are_shown_and_caches_removed_without_a_connection(study, monkeypatch, tmp_path):
    def refuse(*arguments, **options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["compare"],
        ["compare", "--country", "DEU"],
        ["compare", "--paper"],
        ["claims"],
        ["list"],
        ["list", "runs"],
        ["list", "caches"],
        ["clean", "--yes"],
        ["resume", str(study.path)],
    ):
        monkeypatch.setattr(sys, "argv", ["kdtune", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0, arguments
