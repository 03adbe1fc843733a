"""Processes of a real study, killed: what the ledger says afterwards. The whole matrix is in ``benchmarks/``."""

import pytest

from benchmarks import kills

pytestmark = pytest.mark.study


def test_a_killed_trial_and_a_killed_meter_are_survived_and_every_microjoule_is_charged(tmp_path):
    row = kills.one_case(tmp_path, ("trial", "meter"))
    assert row["exit_code"] == 0
    assert row["outcome"]["status"] == "completed" and row["outcome"]["completed"] == 4
    assert row["attempts_taken_up_again"] == 1
    assert row["flags"].get("meter_restarted") == 1 and "gap" not in row["flags"]
    assert row["gap_uj"] == 0
    assert row["buckets_sum_to_node"]
    assert row["after_uj"] > row["before_uj"] > 0


def test_after_everything_was_killed_resuming_charges_what_was_and_tells_the_gap(tmp_path):
    row = kills.one_case(tmp_path, ("trial", "meter", "driver"))
    assert row["exit_code"] == -9 and row["resume_exit_code"] == 0
    assert row["outcome"]["status"] == "completed" and row["outcome"]["completed"] == 4
    assert row["flags"].get("gap") == 1
    assert row["gap_uj"] > 0
    assert row["buckets_sum_to_node"]
    assert row["after_uj"] > row["before_uj"] > 0
