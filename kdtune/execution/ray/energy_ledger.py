"""``EnergyLedger``: meters any Ray Tune experiment, of kdtune's trainable or of anybody's."""

import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from pyarrow import fs
from ray import tune

from kdtune.energy.attribution import Account
from kdtune.energy.ledger import Record, Window, read_folder
from kdtune.energy.meter_start import MeterStart
from kdtune.energy.neighbours import MeterRegistry
from kdtune.energy.processes import identity_of
from kdtune.energy.sensors.node import NodeSensors, boot_id
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.errors import KdtuneError, MachineError, ResultsError
from kdtune.execution import metering_guard
from kdtune.execution.node_meter import registry_of
from kdtune.execution.ray.node_meters import NodeMeters
from kdtune.storage.paths import expanded

if TYPE_CHECKING:
    import pandas

#: Stands in a window for the GPUs of workers that the trial starts: which ones they are is not known.
STARTED_WORKERS_GPUS = "GPUs of workers that the trial starts"

#: The module in which a driver's thread is for as long as Ray Tune runs an experiment.
TUNE = "ray.tune.tune"

#: The ledger's folder inside the experiment's.
FOLDER = "energy_ledger"


def _kept_from_the_experiment(report: Callable[..., None]) -> Callable[..., None]:
    """A meter or a disk that fails leaves a trial unmetered, which is flagged, and never ends the experiment."""

    @wraps(report)
    def taken(self: Any, *args: Any, **named: Any) -> None:
        try:
            report(self, *args, **named)
        except Exception as error:
            if isinstance(error, KdtuneError) and not isinstance(error, MachineError):
                raise  # a misuse, which the user has to hear of
            logging.getLogger(__name__).warning("a trial is not metered as it should be", exc_info=True)

    return taken


class EnergyLedger(tune.Callback):
    """A callback for ``tune.RunConfig(callbacks=[...])`` that charges every trial with its energy.

    One meter a node writes the ledger into ``energy_ledger/`` in the experiment's folder (or where ``path``
    says) while the experiment runs: from its setup to its end, every attempt of every trial, whatever became of
    it. :meth:`account` sums it up at any time; what the trials used and what the rest did add up to the node's
    energy exactly. An experiment that is restored goes on in the ledger that it has.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Meter one experiment.

        Args:
            path: Folder for the ledger; ``energy_ledger`` in the experiment's folder without it.
        """
        self._given = expanded(path).absolute() if path else None
        self._path = self._given
        self._session = ""
        self._meters: NodeMeters | None = None
        self._open: dict[str, tuple[str, str]] = {}
        self._attempts: dict[str, int] = {}
        #: Energy of each trial's attempts that have ended; None where one of them was not metered.
        self._used_uj: dict[str, int | None] = {}
        self._since: MeterStart | None = None
        self._registry: MeterRegistry | None = None

    def setup(self, *_: Any, **info: Any) -> None:
        """Start a meter on every node; called by Tune before the first trial.

        Raises:
            UsageError: Another thread of this process runs an experiment or a study that is metered.
        """
        # The experiment's folder comes with the first trial. What happens until then (workers start, trainables
        # set up) is in the counters, which are read now on this node.
        # A restored experiment comes with the callback of the dead one, whose meters and folder are not this one's.
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
        """Let the meters begin, which is not waited for, in a ledger that may have earlier attempts of the trials."""
        self._path = path
        records_by_node = read_folder(path)
        used_uj = account_of_nodes(records_by_node).windows
        for trial_id, windows in self._windows(records_by_node).items():
            self._attempts[trial_id] = len(windows)
            self._used_uj[trial_id] = _sum_of(windows, used_uj)
        assert self._meters is not None
        self._meters.begin(path, self._since)

    @_kept_from_the_experiment
    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Begin the ledger as soon as a trial tells where the experiment's folder is, before any worker is ready."""
        if self._path is None and trials and self._meters is not None:
            self._begin(_folder_in_experiment(trials[0]))

    @_kept_from_the_experiment
    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open a window for the worker that took the trial on."""
        if self._meters is None:
            raise KdtuneError("another study or EnergyLedger began in this process: it meters one experiment at a time")
        self.on_step_end(iteration, [trial])
        self._close(trial, "started again")
        earlier_uj = self._earlier_uj(trial)
        self._used_uj[trial.trial_id] = None  # until the meter has opened a window
        attempt = self._attempts[trial.trial_id] = self._attempts.get(trial.trial_id, 0) + 1
        window = f"{trial.trial_id}/{attempt}"
        self._meters.meter_new_nodes()
        self._meters.settle()
        actor = trial.temporary_state.ray_actor
        cpus, own_gpus, other_gpus = _given_to(trial.placement_group_factory)
        introduced = actor.__ray_call__.remote(_introduce, self._session, window, own_gpus, earlier_uj)
        host, boot, pid, gpus = ray.get(introduced)
        if other_gpus:
            gpus = {**gpus, STARTED_WORKERS_GPUS: other_gpus}
        if self._meters.ask_one(host, "open", Window(window, "trials", pid, cpus, gpus), boot):
            self._used_uj[trial.trial_id] = earlier_uj
            self._open[trial.trial_id] = (host, window)

    @_kept_from_the_experiment
    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the trial's window."""
        self._close(trial, "done")

    @_kept_from_the_experiment
    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the trial's window; a trial that failed is charged too."""
        self._close(trial, "failed")

    def _earlier_uj(self, trial: Any) -> int | None:
        """Energy of a trial's earlier attempts in microjoules; None where it has trained and no ledger tells of it."""
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
            if meters and ray.is_initialized():  # else asking would start another Ray
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
        """What has been used so far, in integer microjoules, by bucket and by trial and attempt.

        ``flags`` of the account counts what is not known, under the names of :data:`kdtune.energy.attribution.FLAGS`:
        such as a machine of the cluster whose ledger is not in the folder, because it does not share it.

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
        """What each trial used, as a data frame with one row a trial.

        Columns: ``trial_id``; ``attempts``, how often it was begun; ``energy_j``, joules of all its attempts, NaN
        where one of them was not metered. With ``results`` also what those have: metrics of the last report, and
        ``config/...``.

        Args:
            results: What ``Tuner.fit`` returned.

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
        # A report's own ``energy_j`` is older than the ledger's.
        reported = results.get_dataframe().drop(columns=["energy_j"], errors="ignore")
        return energy.merge(reported, on="trial_id", how="outer")

    def _windows(self, nodes: Mapping[str, Sequence[Record]]) -> dict[str, dict[str, bool]]:
        """By trial, the windows of its attempts in their order, each with whether it is in the ledger.

        Raises:
            ResultsError: It is the ledger of a study, whose windows are of another kind.
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
        # Tune stores its callbacks; running meters are no part of that.
        return {**self.__dict__, "_meters": None, "_open": {}, "_registry": None}


def read_ledger(place: str | Path) -> EnergyLedger:
    """The ledger of an experiment that has ended, was killed or was restored, to ask for its account or its frame.

    Args:
        place: The experiment's folder (``ResultGrid.experiment_path``), or the ledger's own.

    Raises:
        ResultsError: There is no ledger.
    """
    given = expanded(place).absolute()
    for folder in (given / FOLDER, given):
        if any(folder.glob("*.jsonl")) and not (folder / "study.toml").exists():
            return EnergyLedger(folder)
    raise ResultsError(f"{place}: there is no energy ledger; name the experiment's folder, or that of its ledger")


def _sum_of(windows: Mapping[str, bool], used_uj: Mapping[str, int]) -> int | None:
    """Energy of a trial's attempts in microjoules; None where one of them is not in the ledger."""
    return sum(used_uj.get(window, 0) for window in windows) if all(windows.values()) else None


def _folder_in_experiment(trial: Any) -> Path:
    """Where the experiment's ledger is to be: beside its results, so that nothing is lost with a killed driver.

    Of results on a remote store Tune keeps a copy here, under another name after each restart, and uploads it.
    """
    storage = trial.storage
    there = Path(storage.experiment_fs_path) / FOLDER
    if isinstance(storage.storage_filesystem, fs.LocalFileSystem):
        return there
    here = Path(trial.local_experiment_path) / FOLDER
    kept = storage.storage_filesystem.get_file_info(there.as_posix())
    if kept.type is fs.FileType.Directory and not here.exists():
        here.mkdir(parents=True)
        fs.copy_files(there.as_posix(), str(here), source_filesystem=storage.storage_filesystem)
    return here


def _given_to(placement: Any) -> tuple[float, float, float]:
    """What a trial's placement group gives: cores in all, GPUs of its own process, GPUs of workers that it starts."""
    in_all = placement.required_resources
    own = {} if placement.head_bundle_is_empty else placement.bundles[0]
    own_gpus = float(own.get("GPU", 0.0))
    return float(in_all.get("CPU", 0.0)), own_gpus, float(in_all.get("GPU", 0.0)) - own_gpus


def _introduce(
    trainable: Any, session: str, window: str, gpus: float, earlier_uj: int | None
) -> tuple[str, str, int, dict[str, float]]:
    """Runs in the trial's worker: where it is, and for kdtune's own trainable how it reads its energy."""
    from kdtune.planning.resources import gpu_shares

    if hasattr(trainable, "attach_meter"):
        trainable.attach_meter(session, window, earlier_uj)
    shares = gpu_shares(gpus) if gpus else {}
    return os.uname().nodename, boot_id(), os.getpid(), shares
