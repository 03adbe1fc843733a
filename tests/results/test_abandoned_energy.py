"""Expected values: a run uses 280 J itself, its session 204 J, and its teacher logits 2400 J."""

import json

import pytest

from kdtune.report.tables import notes
from kdtune.results.abandoned_energy import abandoned_uj
from kdtune.results.folder import StudyFolder
from kdtune.results.outcome import build_result, write_result
from kdtune.results.shared_document import TeacherLogitsInput
from kdtune.results.shared_inputs import ledger_summary, write_shared
from tests.energy.simulated import J, Node, two_cores
from tests.results.finished import CARBON, finished, write_ledger

OWN, SESSION, LOGITS = 280 * J, 204 * J, 2400 * J


@pytest.fixture
def study(tmp_path):
    return StudyFolder(tmp_path / "small")


def run(study, *strategies, session, logits=None, **options):
    """Write results of strategies that ran in one session and, if ``logits`` is given, replayed one store of logits."""
    for name in strategies:
        folder = finished(study.path.parent, name, session=session, **options)
        if logits:
            ledger = study.path.parent / "cache" / logits
            if not ledger.exists():
                write_ledger(Node(two_cores()).start().work(100, study=100).stop(), ledger)
            write_shared(folder, None, {logits: TeacherLogitsInput(1, ledger_summary(ledger, dedicated=True))})


def results(study, *strategies):
    return [build_result(study.strategy(name), CARBON) for name in strategies]


def abandoned(*found):
    return [result.cost.abandoned_uj for result in found]


def told(found):
    [line] = [line for line in notes(found, None) if "--fresh put aside" in line]
    return line


def test_abandoned_energy_equals_the_earlier_charge_and_counts_a_session_once(study):
    run(study, "grid", "stochastic", session="s1", logits="l1")
    charged = [round(result.cost.charged_kwh / CARBON.pue * 3.6e12) for result in results(study, "grid", "stochastic")]
    assert charged == [OWN + SESSION + LOGITS] * 2
    study.put_aside(["grid", "stochastic"])
    run(study, "grid", "stochastic", session="s2")
    found = results(study, "grid", "stochastic")
    assert abandoned(*found) == charged
    assert abandoned_uj([result.cost for result in found]) == 2 * OWN + SESSION + LOGITS
    assert told(found).endswith(f"{(560 + 204 + 2400) * 1.5 / 3.6e3:.2f} Wh.")
    assert abandoned_uj([found[0].cost]) == OWN + SESSION + LOGITS


def test_energy_that_a_current_strategy_is_charged_is_not_abandoned(study):
    run(study, "grid", "stochastic", session="s1", logits="l1")
    study.put_aside(["grid"])
    run(study, "grid", session="s2")
    found = results(study, "grid", "stochastic")
    assert abandoned(*found) == [OWN, 0]
    assert abandoned_uj([result.cost for result in found]) == OWN


def test_teacher_logits_that_the_new_run_is_charged_are_not_abandoned(study):
    run(study, "grid", session="s1", logits="l1")
    study.put_aside(["grid"])
    run(study, "grid", session="s2", logits="l1")
    assert abandoned(*results(study, "grid")) == [OWN + SESSION]


def test_several_abandoned_runs_add_up_and_shared_inputs_count_once(study):
    for session in ("s1", "s2"):
        run(study, "grid", session=session, logits="l1")
        study.put_aside(["grid"])
    run(study, "grid", session="s3")
    assert abandoned(*results(study, "grid")) == [2 * OWN + 2 * SESSION + LOGITS]


def test_an_abandoned_run_counts_with_its_own_attribution(study):
    run(study, "grid", session="s1", attribution="shared")
    study.put_aside(["grid"])
    run(study, "grid", session="s2")
    # Without idle power: two cores, of which a trial holds one, so half of 6 s of memory; and no memory of the session.
    assert abandoned(*results(study, "grid")) == [(40 + 60 + 4) * J]


def test_energy_that_another_study_of_the_table_is_charged_is_not_abandoned(study, tmp_path):
    run(study, "grid", session="s1", logits="l1")
    study.put_aside(["grid"])
    run(study, "grid", session="s2")
    other = StudyFolder(tmp_path / "other")
    other.path.mkdir()
    run(study, "stochastic", session="s3", logits="l1")
    study.strategy("stochastic").path.rename(other.strategy("stochastic").path)
    found = [*results(study, "grid"), *results(other, "stochastic")]
    assert abandoned(*found) == [OWN + SESSION + LOGITS, 0]
    assert abandoned_uj([result.cost for result in found]) == OWN + SESSION


def test_cost_json_lists_abandoned_shared_inputs_by_id(study):
    run(study, "grid", session="s1", logits="l1")
    study.put_aside(["grid"])
    run(study, "grid", session="s2")
    folder = study.strategy("grid")
    folder.write_study(folder.read_study(), {**folder.resolved(), "versions": {"python": "3.11.9"}})
    (folder.path / "student.pt").write_bytes(b"weights")
    write_result(folder, CARBON)
    not_charged = json.loads((folder.path / "cost.json").read_text())["not_charged"]
    kwh = {name: pytest.approx(CARBON.kwh(uj)) for name, uj in (("own", OWN), ("s1", SESSION), ("l1", LOGITS))}
    assert not_charged["abandoned_parts_kwh"] == {
        "own": kwh["own"],
        "session": {"s1": kwh["s1"]},
        "teacher_logits": {"l1": kwh["l1"]},
        "compilation": {},
        "synthesis": {},
    }
    assert not_charged["abandoned_kwh"] == pytest.approx(CARBON.kwh(OWN + SESSION + LOGITS))
