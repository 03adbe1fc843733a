"""Studies that are called from other programs' tasks, trials, threads and event loops."""

import asyncio
import threading

import pytest
import ray
from ray import tune
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

import kdtune
from kdtune.errors import UsageError
from kdtune.execution.ray import dispatch
from kdtune.execution.ray.calling_worker import check_room
from kdtune.planning.resources import Resources
from tests.studies import outcome_of, small_study

pytestmark = [pytest.mark.study, pytest.mark.usefixtures("running_ray")]

#: One training; the teacher is trained by the first test.
STUDY = small_study(strategies={"fixed": {}}, repeats=1)


def run(folder, *, inline):
    """Run the study, and return what does not depend on where it ran."""
    [result] = kdtune.run_study(STUDY, out=folder, inline=inline).results
    energy_uj = {key: value for key, value in result["cost"]["energy_uj"].items() if key != "node_total"}
    assert sum(energy_uj.values()) == result["cost"]["energy_uj"]["node_total"] and energy_uj["trials"] > 0
    return outcome_of(result)


def test_a_study_runs_in_a_thread_beside_a_running_event_loop(tmp_path):
    async def notebook():
        in_thread = await asyncio.to_thread(run, tmp_path / "thread", inline=True)
        return in_thread, run(tmp_path / "cell", inline=True)

    in_thread, in_cell = asyncio.run(notebook())
    assert in_thread == in_cell


def test_trials_of_an_outer_tuner_run_studies_inline_and_through_ray_with_equal_results(tmp_path):
    """Tune runs a function in another thread, and makes its tasks use the trial's placement group."""

    def study(config):
        assert threading.current_thread() is not threading.main_thread()
        outcome = run(tmp_path / config["executor"], inline=config["executor"] == "inline")
        tune.report({"outcome": outcome})

    ledger = kdtune.EnergyLedger()
    results = tune.Tuner(
        study,
        param_space={"executor": tune.grid_search(["ray", "inline"])},
        run_config=tune.RunConfig(name="outer", storage_path=str(tmp_path), callbacks=[ledger], verbose=0),
    ).fit()
    assert results.num_errors == 0, results.errors
    first, second = (result.metrics["outcome"] for result in results)
    assert first == second and first["status"] == "completed"
    account = ledger.account()
    assert sum(account.buckets.values()) == account.node_uj and len(account.windows) == 2


def test_a_study_for_which_its_own_task_leaves_no_core_is_refused_instead_of_waiting():
    def refusal(needed=1.0):
        try:
            check_room(Resources(needed, 0.0), [{"CPU": 2.0}])
        except UsageError as error:
            return str(error)

    everything, one_core, nothing = (ray.remote(num_cpus=n)(refusal).remote() for n in (2, 1, 0))
    assert "holds 2 of the 2 CPUs" in ray.get(everything) and ray.get([one_core, nothing]) == [None, None]
    assert ray.get(ray.remote(num_cpus=1.6)(refusal).remote(0.4)) is None  # although 2 - 1.6 is less than 0.4
    assert refusal() is None  # a driver holds nothing


def test_a_placement_group_around_a_study_counts_as_held_and_does_not_capture_its_jobs():
    def inside():
        job = ray.remote(**dispatch._options_of(Resources(0.5, 0.0)))(ray.util.get_current_placement_group)
        with pytest.raises(UsageError, match="holds 1 of the 1 CPUs"):
            check_room(Resources(0.5, 0.0), [{"CPU": 1.0}])
        return ray.util.get_current_placement_group() is not None, ray.get(job.remote()) is not None

    group = ray.util.placement_group([{"CPU": 1}])
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    is_inside = ray.remote(num_cpus=0.5, scheduling_strategy=strategy)(inside)
    try:
        assert ray.get(is_inside.remote()) == (True, False)
    finally:
        ray.util.remove_placement_group(group)
