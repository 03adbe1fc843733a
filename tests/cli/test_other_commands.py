"""list, doctor, compare and general options on the command line."""

import errno
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kdtune.analysis import doctor as examined
from kdtune.catalog.builtin import STRATEGIES
from kdtune.cli.app import app
from tests.data.sets import write_tiny_imagenet
from tests.forked import Forked
from tests.studies import command, here, kdtune

HEAVY = ("torch", "ray", "pandas", "codecarbon", "optuna")


@pytest.mark.parametrize("arguments", [["--help"], ["study", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "kdtune", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}
    assert imported.isdisjoint(HEAVY)


@pytest.mark.parametrize("name", ["study", "compare", "claims", "inference", "resume", "list", "doctor"])
def test_every_command_ends_its_help_in_examples(name, tmp_path):
    shown = here(name, "--help", cwd=tmp_path).stdout
    assert "Examples:" in shown
    assert f"kdtune {name}" in shown.partition("Examples:")[2]
    assert name in {registered.name for registered in app.registered_commands}


@pytest.mark.parametrize("what", ["studies", "spaces", "strategies", "temperatures", "datasets", "models", "runs"])
def test_list_prints_records_with_names(what, tmp_path):
    document = json.loads(here("list", what, "--json", cwd=tmp_path).stdout)
    assert document["schema_version"] == 1
    names = [record["name"] for record in document[what]]
    assert len(names) == len(set(names))
    if what == "strategies":
        assert names == list(STRATEGIES)
    if what == "studies":
        assert {"digits-hkd", "digits-cmc", "digits-dml"} <= set(names)
    if what == "runs":
        assert names == []
    assert here("list", what, cwd=tmp_path).returncode == 0


def test_a_component_with_options_is_listed_like_in_a_call(tmp_path):
    (tmp_path / "studies").mkdir()
    own = 'dataset = "digits"\nteacher = { ref = "./nets.py:Wide", width = 8 }\nstudent = { ref = "./nets.py:Tiny" }\n'
    (tmp_path / "studies" / "own.toml").write_text(own)
    shown = " ".join(here("list", "studies", cwd=tmp_path, COLUMNS="300").stdout.split())
    assert "./nets.py:Wide(width=8) ./nets.py:Tiny" in shown and "{" not in shown


def test_studies_are_listed_with_the_labels_of_their_strategies(tmp_path):
    document = json.loads(here("list", "studies", "--json", cwd=tmp_path).stdout)
    (controls,) = [one for one in document["studies"] if one["name"] == "digits-controls"]
    assert controls["strategies"][:3] == ["stochastic", "fixed-4", "fixed-1"]


def test_an_unknown_list_is_refused_with_the_known_ones(tmp_path):
    done = kdtune("list", "study", cwd=tmp_path)
    assert done.returncode == 2 and "studies" in done.stderr and "Traceback" not in done.stderr


def test_doctor_finds_no_fault_here_and_makes_no_connection_except_ray(tmp_path, running_ray, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    done = here("doctor", "--json", cwd=tmp_path)
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert {"Python", "torch", "CUDA", "Ray Tune", "home", "temporary files", "shared memory", "data", "disk"} <= set(
        findings
    )
    assert {"energy: CPU", "energy: memory", "energy: other studies"} <= set(findings)
    assert done.returncode == 0
    assert all(finding["verdict"] == "ok" or finding["remedy"] for finding in findings.values())


#: Examines this machine with a Ray whose workers are forked.
DOCTOR = """
from kdtune.analysis import doctor
from kdtune.execution.ray import opening

doctor.ray_environment = opening.ray_environment
from kdtune.__main__ import main
main()
"""


@pytest.mark.study
def test_doctor_starts_ray_and_a_worker(tmp_path):
    process = Forked(DOCTOR, ["doctor", "--json"], tmp_path, forks_workers=True)
    out, err = process.communicate()
    findings = {finding["name"]: finding for finding in json.loads(out)["findings"]}
    assert process.returncode == 0, err
    assert findings["Ray's start"]["verdict"] == "ok" and "torch" in findings["Ray's start"]["found"]


def test_doctor_exits_with_3_and_a_remedy_after_a_fault(tmp_path):
    done = here("doctor", cwd=tmp_path, KDTUNE_DATA_DIR=str(tmp_path / "nowhere"))
    assert done.returncode == 3
    assert "nowhere" in done.stdout and "unset" in done.stdout


def test_doctor_lists_data_sets_and_their_folders(tmp_path, monkeypatch):
    write_tiny_imagenet(tmp_path)
    monkeypatch.setenv("KDTUNE_DATA_DIR", str(tmp_path))
    finding = examined._data()
    assert finding.verdict == "ok"
    there, _, absent = finding.found.partition("to download")
    assert f"in {tmp_path} (KDTUNE_DATA_DIR): tiny_imagenet" in there
    assert all(f"{name} (" in absent for name in ("cifar10", "cifar100", "fashion_mnist"))
    assert "169 MB" in absent


def test_doctor_warns_of_an_incomplete_data_set(tmp_path, monkeypatch):
    (write_tiny_imagenet(tmp_path) / "words.txt").unlink()
    monkeypatch.setenv("KDTUNE_DATA_DIR", str(tmp_path))
    finding = examined._data()
    assert finding.verdict == "warning" and "words.txt is missing" in finding.found and "--download" in finding.remedy


def test_the_list_of_strategies_shows_no_python_values(tmp_path):
    shown = here("list", "strategies", cwd=tmp_path, COLUMNS="300").stdout
    assert "torchao" in shown and "yes" in shown
    assert not any(text in shown for text in ("{", "True", "begins after"))


def test_the_list_of_data_sets_has_download_sizes(tmp_path):
    assert "download mb" in here("list", "datasets", cwd=tmp_path).stdout
    records = json.loads(here("list", "datasets", "--json", cwd=tmp_path).stdout)["datasets"]
    sizes = {record["name"]: record["download_mb"] for record in records}
    known = {"digits": 0, "cifar10": 170, "cifar100": 169, "fashion_mnist": 31, "tiny_imagenet": 248}
    assert known.items() <= sizes.items()


def test_doctor_warns_of_a_full_disk(monkeypatch):
    monkeypatch.setattr(examined.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**30})())
    finding = next(found for found in [examined._disk()])
    assert finding.verdict == "warning" and "KDTUNE_CACHE_DIR" in finding.remedy


def test_doctor_reports_a_cache_that_is_not_a_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    finding = examined._checked("disk", examined._disk)
    assert finding.verdict == "fault" and "KDTUNE_CACHE_DIR" in finding.remedy


def test_doctor_names_a_file_system_without_locks(monkeypatch):
    monkeypatch.setattr("fcntl.flock", _without_locks)
    finding = examined._checked("disk", examined._disk)
    assert finding.verdict == "fault" and "no file locks" in finding.found and "KDTUNE_CACHE_DIR" in finding.remedy


def _without_locks(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_doctor_warns_of_an_unusable_home_temporary_folder_and_shared_memory(tmp_path, monkeypatch):
    def missing(*_):
        raise RuntimeError

    monkeypatch.setattr(Path, "home", missing)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 90)))
    monkeypatch.setattr(os, "access", lambda path, mode: path != "/dev/shm")
    for finding in (examined._home(), examined._temporary(), examined._shared_memory()):
        assert finding.verdict == "warning" and finding.remedy


def test_doctor_counts_the_cores_that_kdtune_may_use(monkeypatch):
    monkeypatch.setattr(examined, "usable_cores", lambda: 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert "4 cores here, of which kdtune may use 1" in examined._ray().found


def test_commands_without_results_name_the_expected_argument(tmp_path):
    for arguments in (["compare"], ["compare", "elsewhere"], ["resume", "elsewhere"], ["inference", "elsewhere"]):
        done = here(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "results" in done.stderr and "Traceback" not in done.stderr


def test_a_second_process_on_one_folder_is_refused(tmp_path):
    from kdtune.results.folder import StudyFolder

    with StudyFolder(tmp_path / "results" / "digits-hkd").locked():
        done = here("study", "digits-hkd", "-s", "none", cwd=tmp_path)
    assert done.returncode == 2
    assert "another kdtune" in done.stderr and "--out" in done.stderr


def test_invalid_toml_is_reported_with_line_and_column(tmp_path):
    (tmp_path / "mine.toml").write_text('dataset = "digits"\nteacher = = 3\n')
    done = here("study", "mine.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine.toml" in done.stderr and "line 2" in done.stderr and "column" in done.stderr


def test_all_faults_are_reported_at_once(tmp_path):
    done = here(
        "study", "digits-hkd", "--set", "alpha=7", "--set", "training.epochs=0", "--set", "loss=hdk", cwd=tmp_path
    )
    assert done.returncode == 2
    for word in ("alpha", "training.epochs", "loss", "'hkd'"):
        assert word in done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_an_unknown_option_is_refused_by_the_command_line(tmp_path):
    done = subprocess.run(command("study", "digits-hkd", "--epoch", "3"), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "--epochs" in done.stderr
