"""``EnergyLedger``: meters any Ray Tune experiment, of kdtune's trainable or of anybody's."""

import os
import secrets
from pathlib import Path
from typing import Any

import ray
from pyarrow import fs
from ray import tune

from kdtune.energy.attribution import Account
from kdtune.energy.ledger import Window, read_folder
from kdtune.energy.neighbours import Neighbourhood
from kdtune.energy.processes import identity_of
from kdtune.energy.sensors import NodeSensors, boot_id
from kdtune.energy.several_nodes import charge_all
from kdtune.energy.start import Start
from kdtune.errors import KdtuneError
from kdtune.paths import expanded
from kdtune.tuning import metered
from kdtune.tuning.meter_actor import begin_meters, end_meters, neighbourhood_of, start_meters

#: Stands in a window for the GPUs of workers that the trial starts: which ones they are is not known.
STARTED_WORKERS_GPUS = "GPUs of workers that the trial starts"

#: The ledger's folder inside the experiment's.
FOLDER = "energy_ledger"


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
        self._meters: dict[str, Any] = {}
        self._open: dict[str, tuple[str, str]] = {}
        self._attempts: dict[str, int] = {}
        self._used_uj: dict[str, int] = {}
        self._opened: set[str] = set()
        self._since: Start | None = None
        self._beginning: list[Any] = []
        self._neighbourhood: Neighbourhood | None = None

    def setup(self, *_: Any, **info: Any) -> None:
        """Start a meter on every node; called by Tune before the first trial.

        Raises:
            UsageError: Another thread of this process runs an experiment or a study that is metered.
        """
        # The experiment's folder comes with the first trial. What happens until then (workers start, trainables
        # set up) is in the counters, which are read now on this node.
        # A restored experiment comes with the callback of the dead one, whose meters and folder are not this one's.
        metered.begin(self._end, within=metered.TUNE)
        self._session = f"ledger-{secrets.token_hex(4)}"
        self._path, self._attempts, self._used_uj, self._opened = self._given, {}, {}, set()
        self._beginning = []
        self._neighbourhood = neighbourhood_of(self._session)
        self._neighbourhood.join()
        with self._neighbourhood.settled(0):
            counters = NodeSensors().read()
            self._since = Start.of(counters, [identity_of(os.getpid())])
            self._neighbourhood.hold(counters.t_ns, 0, {})
        self._meters = start_meters(self._session, trials_start_workers=True)
        if self._path:
            self._begin(self._path)

    def _begin(self, path: Path) -> None:
        """Let the meters begin, which is not waited for, in a ledger that may have earlier attempts of the trials."""
        self._path = path
        records_by_node = read_folder(path)
        for records in records_by_node.values():
            for opened in (record.window.id for record in records if record.window):
                trial_id, _, attempt = opened.rpartition("/")
                self._attempts[trial_id] = max(int(attempt), self._attempts.get(trial_id, 0))
        for window, energy_uj in charge_all(records_by_node).windows.items():
            self._add_used(window.rpartition("/")[0], energy_uj)
        self._beginning = begin_meters(self._meters, path, self._since)

    def _add_used(self, trial_id: str, energy_uj: int) -> None:
        self._used_uj[trial_id] = self._used_uj.get(trial_id, 0) + energy_uj

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Begin the ledger as soon as a trial tells where the experiment's folder is, before any worker is ready."""
        if self._path is None and trials and self._meters:
            self._begin(_folder_in_experiment(trials[0]))

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open a window for the worker that took the trial on."""
        if not self._meters:
            raise KdtuneError("another study or EnergyLedger began in this process: it meters one experiment at a time")
        self.on_step_end(iteration, [trial])
        ray.get(self._beginning)
        self._close(trial, "started again")
        earlier_uj = self._earlier_uj(trial)
        attempt = self._attempts[trial.trial_id] = self._attempts.get(trial.trial_id, 0) + 1
        window = f"{trial.trial_id}/{attempt}"
        actor = trial.temporary_state.ray_actor
        cpus, own_gpus, other_gpus = _given_to(trial.placement_group_factory)
        introduced = actor.__ray_call__.remote(_introduce, self._session, window, own_gpus, earlier_uj)
        host, boot, pid, gpus = ray.get(introduced)
        if other_gpus:
            gpus = {**gpus, STARTED_WORKERS_GPUS: other_gpus}
        ray.get(self._meters[host].open.remote(Window(window, "trials", pid, cpus, gpus), boot))
        self._open[trial.trial_id] = (host, window)
        self._opened.add(window)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the trial's window."""
        self._close(trial, "done")

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
        metered.ended(self._end)
        self._open.clear()
        meters, self._meters = list(self._meters.values()), {}
        try:
            if ray.is_initialized():  # else asking would start another Ray
                end_meters(meters)
        finally:
            if self._neighbourhood:
                self._neighbourhood.withdraw()

    def _close(self, trial: Any, reason: str) -> None:
        if trial.trial_id in self._open:
            host, window = self._open.pop(trial.trial_id)
            self._add_used(trial.trial_id, ray.get(self._meters[host].close.remote(window, reason)))

    def account(self) -> Account:
        """What has been used so far, in integer microjoules, by bucket and by trial and attempt.

        ``flags`` of the account counts what is not known, under the names of :data:`kdtune.energy.attribution.FLAGS`:
        such as a machine of the cluster whose ledger is not in the folder, because it does not share it.

        Raises:
            ValueError: Nothing has been metered yet.
        """
        if self._path is None:
            raise ValueError("nothing has been metered yet: no trial has started")
        records_by_node = read_folder(self._path)
        account = charge_all(records_by_node)
        told = {record.window.id for records in records_by_node.values() for record in records if record.window}
        for _ in self._opened - told:
            account.flag("trial_unmetered")
        return account

    def __getstate__(self) -> dict[str, Any]:
        # Tune stores its callbacks; running meters are no part of that.
        return {**self.__dict__, "_meters": {}, "_open": {}, "_beginning": [], "_neighbourhood": None}


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
    from kdtune.tuning.resources import gpu_shares

    if hasattr(trainable, "attach_meter"):
        trainable.attach_meter(session, window, earlier_uj)
    shares = gpu_shares(gpus) if gpus else {}
    return os.uname().nodename, boot_id(), os.getpid(), shares
