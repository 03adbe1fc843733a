"""``EnergyLedger``: meters any Ray Tune experiment, with kdtune's trainable or others."""

import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from kdtune.energy.attribution import Account
from kdtune.energy.ledger import Record, Window, read_folder
from kdtune.energy.meter_start import MeterStart
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.processes import identity_of
from kdtune.energy.sensors.node import NodeSensors
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.errors import KdtuneError, MachineError, ResultsError
from kdtune.execution import metering_guard
from kdtune.execution.node_meter import registry_of
from kdtune.execution.ray.node_meters import NodeMeters
from kdtune.execution.ray.tune_experiment import (
    FOLDER,
    STARTED_WORKERS_GPUS,
    attach_trial,
    ledger_folder,
    trial_resources,
)
from kdtune.storage.paths import expanded

if TYPE_CHECKING:
    import pandas

#: The module in which a driver's thread stays while Ray Tune runs an experiment.
TUNE = "ray.tune.tune"


def _never_ends_the_experiment(report: Callable[..., None]) -> Callable[..., None]:
    """Make a failure of a meter or a disk leave a trial unmetered and flagged, instead of ending the experiment."""

    @wraps(report)
    def guarded(self: Any, *args: Any, **named: Any) -> None:
        try:
            report(self, *args, **named)
        except Exception as error:
            if isinstance(error, KdtuneError) and not isinstance(error, MachineError):
                raise  # a mistake of the user
            logging.getLogger(__name__).warning("a trial is not metered completely", exc_info=True)

    return guarded


class EnergyLedger(tune.Callback):
    """A callback for ``tune.RunConfig(callbacks=[...])`` that charges every trial with its energy.

    One meter per node writes the ledger into ``energy_ledger/`` in the experiment's folder (or into ``path``) while the
    experiment runs, from its setup to its end, with every attempt of every trial. :meth:`account` sums it up at any
    time; the energy of the trials and that of all other work add up exactly to the node's energy. An experiment that
    is restored continues its ledger.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Meter one experiment.

        Args:
            path: Folder for the ledger; None for ``energy_ledger`` in the experiment's folder.
        """
        self._given = expanded(path).absolute() if path else None
        self._path = self._given
        self._session = ""
        self._meters: NodeMeters | None = None
        self._open: dict[str, tuple[str, str]] = {}
        self._attempts: dict[str, int] = {}
        #: Energy of each trial's ended attempts; None if one of them was not metered.
        self._used_uj: dict[str, int | None] = {}
        self._since: MeterStart | None = None
        self._registry: MeterRegistry | None = None

    def setup(self, *_: Any, **info: Any) -> None:
        """Start a meter on every node; Tune calls this before the first trial.

        Raises:
            UsageError: Another thread of this process runs an experiment or a study that is metered.
        """
        # The experiment's folder is known with the first trial. Work until then (workers start, trainables are set up)
        # is counted from the counters of this node, which are read now.
        # A restored experiment reuses the callback of the dead one, whose meters and folder are no longer valid.
        metering_guard.begin(self._end, within=TUNE)
        self._session = f"ledger-{secrets.token_hex(4)}"
        self._path, self._attempts, self._used_uj = self._given, {}, {}
        self._registry = registry_of(self._session)
        self._registry.register()
        with self._registry.locked(0):
            counters = NodeSensors().read()
            self._since = MeterStart.of(counters, [identity_of(os.getpid())])
            self._registry.announce(counters.t_ns, 0, {})
        self._meters = NodeMeters(self._session, trials_start_workers=True)
        self._meters.start()
        if self._path:
            self._begin(self._path)

    def _begin(self, path: Path) -> None:
        """Make the meters begin, without waiting, in a ledger that may contain earlier attempts of the trials."""
        self._path = path
        records_by_node = read_folder(path)
        used_uj = account_of_nodes(records_by_node).windows
        for trial_id, windows in self._windows(records_by_node).items():
            self._attempts[trial_id] = len(windows)
            self._used_uj[trial_id] = _sum_of(windows, used_uj)
        assert self._meters is not None
        self._meters.begin(path, self._since)

    @_never_ends_the_experiment
    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Begin the ledger as soon as a trial names the experiment's folder, and copy it from other machines."""
        if self._path is None and trials and self._meters is not None:
            self._begin(ledger_folder(trials[0]))
        if self._meters is not None:
            self._meters.keep_up()

    @_never_ends_the_experiment
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open a window for the worker that runs the trial."""
        if self._meters is None:
            raise KdtuneError(
                "another study or EnergyLedger began in this process; a process meters one experiment at a time"
            )
        self.on_step_end(iteration, [trial])
        self._close(trial, "started again")
        earlier_uj = self._earlier_uj(trial)
        self._used_uj[trial.trial_id] = None  # until the meter has opened a window
        attempt = self._attempts[trial.trial_id] = self._attempts.get(trial.trial_id, 0) + 1
        window = f"{trial.trial_id}/{attempt}"
        self._meters.meter_new_nodes()
        self._meters.settle()
        actor = trial.temporary_state.ray_actor
        cpus, own_gpus, other_gpus = trial_resources(trial.placement_group_factory)
        introduced = actor.__ray_call__.remote(attach_trial, self._session, window, own_gpus, earlier_uj)
        host, boot, pid, gpus = ray.get(introduced)
        if other_gpus:
            gpus = {**gpus, STARTED_WORKERS_GPUS: other_gpus}
        if self._meters.ask_one(host, "open", Window(window, "trials", pid, cpus, gpus), boot):
            self._used_uj[trial.trial_id] = earlier_uj
            self._open[trial.trial_id] = (host, window)

    @_never_ends_the_experiment
    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the trial's window."""
        self._close(trial, "done")

    @_never_ends_the_experiment
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the trial's window; a failed trial is charged as well."""
        self._close(trial, "failed")

    def _earlier_uj(self, trial: Any) -> int | None:
        """Return the energy of a trial's earlier attempts in microjoules; None if an attempt is in no ledger."""
        if trial.trial_id not in self._attempts and "training_iteration" in trial.last_result:
            return None
        return self._used_uj.get(trial.trial_id, 0)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """End the ledger."""
        self._end()

    def _end(self) -> None:
        metering_guard.ended(self._end)
        self._open.clear()
        meters, self._meters = self._meters, None
        try:
            if meters and ray.is_initialized():  # otherwise the request would start another Ray
                meters.end()
        finally:
            if self._registry:
                self._registry.deregister_now()

    def _close(self, trial: Any, reason: str) -> None:
        if self._meters and trial.trial_id in self._open:
            host, window = self._open.pop(trial.trial_id)
            earlier_uj, self._used_uj[trial.trial_id] = self._used_uj[trial.trial_id], None
            energy_uj = self._meters.ask_one(host, "close", window, reason)
            if earlier_uj is not None and energy_uj is not None:
                self._used_uj[trial.trial_id] = earlier_uj + energy_uj

    def account(self) -> Account:
        """Return the energy so far in integer microjoules, by bucket and by attempt of each trial.

        ``flags`` of the account counts unknowns under the names of :data:`kdtune.energy.attribution.FLAGS`, for example
        a machine of the cluster whose ledger is missing because it does not share the folder.

        Raises:
            ValueError: Nothing has been metered yet.
        """
        if self._path is None:
            raise ValueError("nothing has been metered yet: no trial has started")
        nodes = read_folder(self._path)
        account = account_of_nodes(nodes)
        for windows in self._windows(nodes).values():
            for is_metered in windows.values():
                if not is_metered:
                    account.flag("trial_unmetered")
        return account

    def frame(self, results: "tune.ResultGrid | None" = None) -> "pandas.DataFrame":
        """Return the energy of each trial as a data frame with one row per trial.

        Columns: ``trial_id``; ``attempts``, the number of attempts; ``energy_j``, joules of all attempts, NaN if one of
        them was not metered. With ``results`` also the columns of its data frame: metrics of the last report, and
        ``config/...``.

        Args:
            results: Result of ``Tuner.fit``.

        Raises:
            ValueError: Nothing has been metered yet.
        """
        import pandas as pd

        if self._path is None:
            raise ValueError("nothing has been metered yet: no trial has started")
        nodes = read_folder(self._path)
        used_uj = account_of_nodes(nodes).windows
        rows = []
        for trial_id, windows in self._windows(nodes).items():
            energy_uj = _sum_of(windows, used_uj)
            energy_j = float("nan") if energy_uj is None else energy_uj / 1e6
            rows.append({"trial_id": trial_id, "attempts": len(windows), "energy_j": energy_j})
        energy = pd.DataFrame(rows, columns=["trial_id", "attempts", "energy_j"])
        if results is None:
            return energy
        reported = results.get_dataframe()
        if (
            "trial_id" not in reported
        ):  # Tune reads its data frame from files, which it writes only with its own loggers
            ended = [results[index] for index in range(len(results))]
            last = [{**one.metrics, "config": one.config} for one in ended if one.metrics]
            reported = pd.json_normalize(last, sep="/") if last else pd.DataFrame(columns=["trial_id"])
        # ``energy_j`` of a report is older than that of the ledger.
        reported = reported.drop(columns=["energy_j"], errors="ignore")
        return energy.merge(reported, on="trial_id", how="outer")

    def _windows(self, nodes: Mapping[str, Sequence[Record]]) -> dict[str, dict[str, bool]]:
        """Return by trial the windows of its attempts in order, each with whether it is in the ledger.

        Raises:
            ResultsError: The ledger is that of a study, whose windows have other names.
        """
        attempts = dict(self._attempts)
        windows = {record.window.id: None for records in nodes.values() for record in records if record.window}
        for window in windows:
            trial_id, _, attempt = window.rpartition("/")
            if not (trial_id and attempt.isdecimal()):
                raise ResultsError(f"{self._path}: is the energy ledger of a study; read it with kdtune.load_results")
            attempts[trial_id] = max(int(attempt), attempts.get(trial_id, 0))
        return {
            trial_id: {f"{trial_id}/{n}": f"{trial_id}/{n}" in windows for n in range(1, count + 1)}
            for trial_id, count in attempts.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; running meters cannot be pickled.
        return {**self.__dict__, "_meters": None, "_open": {}, "_registry": None}


def read_ledger(place: str | Path) -> EnergyLedger:
    """Return the ledger of an experiment that has ended, was killed or was restored, for its account or frame.

    Args:
        place: Folder of the experiment (``ResultGrid.experiment_path``) or of the ledger.

    Raises:
        ResultsError: There is no ledger.
    """
    given = expanded(place).absolute()
    for folder in (given / FOLDER, given):
        if any(folder.glob("*.jsonl")) and not (folder / "study.toml").exists():
            return EnergyLedger(folder)
    raise ResultsError(f"{place}: there is no energy ledger; name the folder of the experiment or of its ledger")


def _sum_of(windows: Mapping[str, bool], used_uj: Mapping[str, int]) -> int | None:
    """Energy of a trial's attempts in microjoules; None where one of them is not in the ledger."""
    return sum(used_uj.get(window, 0) for window in windows) if all(windows.values()) else None
