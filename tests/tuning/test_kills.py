"""Processes of a real study, killed: what the ledger says afterwards. The whole matrix is in ``benchmarks/``."""

import pytest

from benchmarks import kills

pytestmark = pytest.mark.study


def test_kills_lose_no_trial_and_no_energy(tmp_path):
    """First a trial and the meter, which the command survives; then the command, which is resumed."""
    row = kills.one_case(tmp_path, ("trial", "meter"), ("driver",))
    assert row["exit_code"] == -9 and row["resume_exit_code"] == 0
    assert row["outcome"]["status"] == "completed" and row["outcome"]["completed"] == 4
    assert row["attempts_taken_up_again"] >= 1
    assert row["flags"].get("meter_restarted") == 1 and row["flags"].get("gap") == 1
    assert row["gap_uj"] > 0
    assert row["buckets_sum_to_node"]
    assert row["after_uj"] > row["before_uj"] > 0
