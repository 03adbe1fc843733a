import csv
import io
import json
from dataclasses import replace

import pytest
from codecarbon.output_methods.emissions_data import EmissionsData

from kdtune.energy.attribution import FLAGS
from kdtune.energy.carbon import Carbon
from kdtune.results.cost_card import EMISSIONS_COLUMNS
from kdtune.results.folder import StudyFolder
from kdtune.results.outcome import write_result
from kdtune.results.shared_document import TeacherEnergy
from kdtune.results.shared_inputs import write_shared
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from tests.energy.simulated import J, Node, trial, two_cores
from tests.results.test_outcome import TEACHER, WORKLOAD, end, without_evaluations, write_ledger
from tests.servers import served
from tests.studies import small_study

CARBON = Carbon(pue=1.5, intensity_g_per_kwh=400.0, source="a test")

#: Of the strategy: two busy core seconds (8 J), four seconds of memory (80 J), a GPU's 100 J; another's second (4 J).
#: Of the session: a second of memory (20 J) and a busy core second of the study's (4 J).
CPU_J, RAM_J, GPU_J, OTHER_J, SESSION_J = 8, 80, 100, 4, 24


@pytest.fixture
def folder(tmp_path):
    return a_strategy(tmp_path)


def a_strategy(tmp_path, repeats=1, **study):
    """One session and one trial, that of the first repeat; the other repeats produced no model."""
    study_folder = StudyFolder(tmp_path / "small")
    folder = study_folder.strategy("grid")
    folder.path.mkdir(parents=True)
    versions = {"kdtune": "1", "python": "3.11.9", "torch": "2", "ray": "2", "device": "cpu"}
    folder.write_study(load_study(small_study(repeats=repeats, **study)), {"workload": WORKLOAD, "versions": versions})
    node = Node(two_cores(gpus=("GPU-a",))).start().open(trial("a/1", gpus={"GPU-a": 1.0}))
    node.work(4, {"a/1": 2}, other=1, gpu_j={"GPU-a": GPU_J}).close("a/1").stop()
    write_ledger(node, folder.ledger)
    write_ledger(Node(two_cores()).start().work(1, study=1).stop(), study_folder.session("s1"))
    log = TrialLog.read(folder.trials)
    log.session("s1")
    end(log, "a", 0, 0, "completed", epochs=3, val_accuracy=0.9, val_loss=0.1)
    log.plan_complete(0)
    log.evaluation(0, "a", {"accuracy": 0.75})
    write_shared(folder, TEACHER)
    (folder.path / "student.pt").write_bytes(b"weights")
    return folder


CHARGED_J = CPU_J + RAM_J + GPU_J + SESSION_J


def kwh(joules: float) -> float:
    return joules * CARBON.pue / 3.6e6


def emissions(folder):
    write_result(folder, CARBON)
    [row] = csv.DictReader(io.StringIO((folder.path / "emissions.csv").read_text()))
    return row


def test_cost_json_contains_the_cost_and_the_method(folder):
    write_result(folder, CARBON)
    card = json.loads((folder.path / "cost.json").read_text())
    assert card["one_model"]["charged_kwh"] == card["in_all"]["charged_kwh"] == pytest.approx(kwh(CHARGED_J))
    assert card["in_all"]["charged_co2_g"] == pytest.approx(kwh(CHARGED_J) * 400)
    assert card["in_all"]["uncertainty_kwh"] == pytest.approx(kwh(0.05 * GPU_J + 0.4 * (CPU_J + RAM_J + SESSION_J)))
    assert card["in_all"]["shared_kwh"]["session"] == pytest.approx(kwh(SESSION_J))
    assert card["in_all"]["with_teacher_kwh"] == pytest.approx(kwh(CHARGED_J + 50))
    assert card["not_charged"]["others_on_the_node_kwh"] == pytest.approx(kwh(OTHER_J))
    assert card["models"][0] | {"charged_kwh": None} == {
        "file": "student.pt",
        "seed": 0,
        "chosen": {"tau": 2},
        "test_accuracy": 0.75,
        "charged_kwh": None,
    }
    assert card["teacher"] == {
        "model": "big",
        "key": "k1",
        "given_weights": None,
        "kwh": pytest.approx(kwh(50)),
        "measuring_kwh": None,
    }
    assert card["method"]["quality"] == "modelled" and "model" in card["method"]["sources"]
    assert card["hardware"][0]["gpus"][0]["quality"] == "counter"


def test_only_the_evaluation_of_a_given_teacher_is_known(folder):
    write_shared(folder, replace(TEACHER, given="0123456789abcdef"))
    write_result(folder, CARBON)
    card = json.loads((folder.path / "cost.json").read_text())
    assert card["teacher"]["kwh"] is None and card["in_all"]["with_teacher_kwh"] is None
    assert card["teacher"]["measuring_kwh"] == pytest.approx(kwh(50))
    assert card["teacher"]["given_weights"] == "0123456789abcdef"


def test_repeats_with_teachers_of_their_own_have_each_teacher_and_the_sums(folder):
    second = replace(TEACHER, key="k2", energy=TeacherEnergy(70 * J))
    write_shared(folder, TEACHER, other_teachers=[second])
    write_result(folder, CARBON)
    card = json.loads((folder.path / "cost.json").read_text())
    assert (card["teacher"]["key"], card["teacher"]["kwh"]) == ("k1,k2", pytest.approx(kwh(120)))
    assert {one["key"]: one["kwh"] for one in card["teachers"]} == pytest.approx({"k1": kwh(50), "k2": kwh(70)})
    assert all(one["measuring_kwh"] is None for one in [card["teacher"], *card["teachers"]])

    write_shared(folder, replace(TEACHER, given="0123"), other_teachers=[replace(second, given="4567")])
    write_result(folder, CARBON)
    card = json.loads((folder.path / "cost.json").read_text())
    assert (card["teacher"]["kwh"], card["teacher"]["measuring_kwh"]) == (None, pytest.approx(kwh(120)))
    assert [one["measuring_kwh"] for one in card["teachers"]] == pytest.approx([kwh(50), kwh(70)])


def test_cost_json_explains_the_flags(folder):
    node = Node(two_cores(), boot="boot-2").start().work(1).start().work(1).stop()
    for record in node.records:
        from kdtune.energy import ledger

        ledger.write(folder.ledger / "other.jsonl", record)
    write_result(folder, CARBON)
    card = json.loads((folder.path / "cost.json").read_text())
    assert card["method"]["to_be_told"] == [f"{FLAGS['gap']} (1 times)"]


def test_cost_json_has_the_objective_where_another_metric_decided(tmp_path):
    folder = a_strategy(tmp_path, objective="f1")
    log = TrialLog.read(folder.trials)
    log.evaluation(0, "a", {"accuracy": 0.75, "f1": 0.5})
    write_result(folder, CARBON)
    model = json.loads((folder.path / "cost.json").read_text())["models"][0]
    assert (model["test_accuracy"], model["objective"], model["test_objective"]) == (0.75, "f1", 0.5)


def test_there_is_no_cost_json_without_a_model(folder):
    (folder.path / "student.pt").unlink()
    write_result(folder, CARBON)
    assert not (folder.path / "cost.json").exists()
    assert not (folder.path / "emissions.csv").exists()


def test_the_columns_are_codecarbons_own():
    assert list(EMISSIONS_COLUMNS) == list(EmissionsData.__dataclass_fields__)


def test_emissions_csv_contains_the_charge(folder):
    row = emissions(folder)
    assert float(row["cpu_energy"]) == pytest.approx(kwh(CPU_J + 4))
    assert float(row["ram_energy"]) == pytest.approx(kwh(RAM_J + 20))
    assert float(row["gpu_energy"]) == pytest.approx(kwh(GPU_J))
    assert float(row["energy_consumed"]) == pytest.approx(sum(float(row[f"{p}_energy"]) for p in ("cpu", "gpu", "ram")))
    assert float(row["emissions"]) == pytest.approx(float(row["energy_consumed"]) * 0.4)
    assert float(row["duration"]) == 4.0 + 1.0  # its energy has the session's too
    assert float(row["emissions_rate"]) == pytest.approx(float(row["emissions"]) / 5)
    assert row["run_id"] == "s1" and row["project_name"] == "small" and row["experiment_id"] == "small/grid"


def test_unknown_columns_of_emissions_csv_are_empty(folder):
    row = emissions(folder)
    assert row["region"] == row["water_consumed"] == row["longitude"] == ""
    assert (row["country_name"], row["country_iso_code"]) == ("a test", "ZZZ")


def test_carbonboard_shows_the_charge(folder):
    for package in ("dash", "dash_bootstrap_components", "fire"):
        pytest.importorskip(package, reason=f"{package}, which codecarbon's carbonboard needs, is not installed here")
    row = emissions(folder)
    shown = {("project_name", "value"): "small", ("energy_type", "value"): "fossil"}
    with served("codecarbon.viz.carbonboard:main", f"--filepath={folder.path / 'emissions.csv'}") as ask:
        assert "_dash-renderer" in ask("/")
        waiting = ask("/_dash-dependencies")
        while waiting:
            ready = [one for one in waiting if all((each["id"], each["property"]) in shown for each in one["inputs"])]
            assert ready
            waiting = [one for one in waiting if one not in ready]
            for one in ready:
                for id_, found in ask("/_dash-update-component", _update(one, shown))["response"].items():
                    shown |= {(id_, key): value for key, value in found.items()}
    [line] = shown["hidden_project_data", "children"]["props"]["data"]
    assert line["emissions"] == float(row["emissions"]) and line["experiment_id"] == "small/grid"
    total = shown["hidden_project_summary", "data"]["total"]
    assert total["energy_consumed"] == float(row["energy_consumed"])
    assert shown["project_emissions_bar_chart", "figure"]["data"]


def _update(callback, shown):
    """Return the request of a page's callback, as the browser sends it."""
    outputs = [part.rpartition(".") for part in callback["output"].strip(".").split("...")]
    inputs = [{**one, "value": shown[one["id"], one["property"]]} for one in callback["inputs"]]
    named = [{"id": id_, "property": key} for id_, _, key in outputs]
    return {
        "output": callback["output"],
        "outputs": named if callback["output"].startswith("..") else named[0],
        "inputs": inputs,
        "changedPropIds": [f"{one['id']}.{one['property']}" for one in inputs],
    }


def test_powers_in_emissions_csv_do_not_exceed_that_of_the_machine(folder):
    row = emissions(folder)
    assert float(row["cpu_power"]) < 8 * CARBON.pue + 1e-6
    assert float(row["ram_power"]) < 20 * CARBON.pue + 1e-6


def test_sources_in_cost_json_sum_to_the_charge(folder):
    write_result(folder, CARBON)
    card = json.loads((folder.path / "cost.json").read_text())
    sources = card["method"]["charged_by_source_kwh"]
    assert set(sources) == {"cpu_modelled", "gpu_counter", "ram_modelled"}
    assert sum(sources.values()) == pytest.approx(card["in_all"]["charged_kwh"])


def test_models_in_cost_json_share_the_charge_of_repeats_without_a_model(tmp_path):
    folder = a_strategy(tmp_path, repeats=3)
    log = TrialLog.read(folder.trials)
    end(log, "b", 1, 0, "failed", epochs=1, error="DivergedError: nan")
    end(log, "c", 2, 0, "completed", epochs=3, val_accuracy=0.5, val_loss=0.5)
    log.evaluation(2, "c", {"accuracy": 0.5})
    (folder.path / "student-2.pt").write_bytes(b"weights")
    result = write_result(folder, CARBON)
    card = json.loads((folder.path / "cost.json").read_text())
    assert [model["file"] for model in card["models"]] == ["student.pt", "student-2.pt"]
    assert all((folder.path / model["file"]).exists() for model in card["models"])
    assert sum(model["charged_kwh"] for model in card["models"]) == pytest.approx(kwh(CHARGED_J))
    assert card["one_model"] == {
        "charged_kwh": pytest.approx(kwh(CHARGED_J) / 2),
        "charged_co2_g": pytest.approx(kwh(CHARGED_J) * 400 / 2),
        "car_km": pytest.approx(kwh(CHARGED_J) * 400 / 120.4 / 2),
        "trials": 1.5,
    }
    assert result.cost.models == 2
    assert result.cost.per_repeat_kwh == card["one_model"]["charged_kwh"]


def test_a_model_without_an_evaluation_has_no_cost_yet(folder):
    without_evaluations(folder.trials)
    write_result(folder, CARBON)
    card = json.loads((folder.path / "cost.json").read_text())
    assert card["models"] == [] and set(card["one_model"].values()) == {None}
    assert card["in_all"]["charged_kwh"] == pytest.approx(kwh(CHARGED_J))
