"""Time and energy of an earlier strategy, split into its trainings and its overhead, for estimating the next one.

The overhead is what came before, between and after the trainings.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from kdtune.energy.attribution import Account
from kdtune.energy.interval_shares import BUCKETS
from kdtune.energy.ledger import Record, Window
from kdtune.energy.running_account import RunningAccount, account_of_ledger
from kdtune.energy.sensors.node import Hardware
from kdtune.forecast.strategy_estimate import StrategyOverhead, TimeAndEnergy, WorkUsage


@dataclass(frozen=True)
class Phases:
    """Time and energy of a completed strategy on one node.

    Attributes:
        overhead: Time and energy outside the trainings.
        epoch: Mean of one epoch, with its evaluation and checkpoint.
    """

    overhead: StrategyOverhead
    epoch: WorkUsage


@dataclass(frozen=True)
class _Moment:
    """Cumulative energy at the time of a record.

    The memory is not included, since its power is constant and the part of it that a study is charged depends on its
    neighbours. It is added when two moments are subtracted.

    Attributes:
        t_ns: Time of the record, in nanoseconds.
        used_uj: Energy of all buckets but ``other``, in microjoules.
        idle_uj: Energy of ``idle``, in microjoules.
    """

    t_ns: int
    used_uj: int
    idle_uj: int
    unheld_uj: dict[str, int]

    @classmethod
    def of(cls, record: Record, account: Account) -> "_Moment":
        own = {bucket: without_memory_uj(account, bucket) for bucket in BUCKETS if bucket != "other"}
        return cls(record.counters.t_ns, sum(own.values()), own["idle"], dict(account.unheld_uj))

    def without(self, unused_gpus: Collection[str]) -> "_Moment":
        """Return the same moment without the idle energy of some GPUs."""
        unused_uj = sum(self.unheld_uj.get(gpu, 0) for gpu in unused_gpus)
        return replace(self, used_uj=self.used_uj - unused_uj, idle_uj=self.idle_uj - unused_uj)

    def charge_until(self, later: "_Moment", hardware: Hardware) -> TimeAndEnergy:
        """Return time and energy between this moment and a later one, with the node's whole memory."""
        wall_s = (later.t_ns - self.t_ns) / 1e9
        memory_uj = hardware.ram_uw * wall_s
        return TimeAndEnergy(wall_s, later.used_uj - self.used_uj + memory_uj, later.idle_uj - self.idle_uj + memory_uj)


def without_memory_uj(account: Account, bucket: str) -> int:
    """Return a bucket's energy without that of the memory, in microjoules."""
    return account.buckets[bucket] - account.sources[bucket].get("ram_modelled", 0)


def session_charge(records: Sequence[Record]) -> TimeAndEnergy | None:
    """Return time and energy of a session's ledger, which has no trials, as if no other study had been on the node.

    Args:
        records: Records of a single node, in the order of time.

    Returns:
        The charge; None if nothing was metered, or part of the energy is unknown.
    """
    account = account_of_ledger(records)
    if account.quality is None or _INCOMPLETE_FLAGS & account.flags.keys():
        return None
    hardware = next(iter(account.hardware.values()))
    memory_uj = hardware.ram_uw * account.duration_ns / 1e9
    used_uj = sum(without_memory_uj(account, bucket) for bucket in BUCKETS if bucket != "other")
    return TimeAndEnergy(account.duration_ns / 1e9, used_uj + memory_uj, without_memory_uj(account, "idle") + memory_uj)


#: Flags of a ledger in which part of the energy is unknown, so that it is no basis for an estimate.
_INCOMPLETE_FLAGS = {
    "gap",
    "rebooted",
    "gpu_unmetered",
    "gpu_unread",
    "gpu_counter_reset",
    "rapl_ambiguous",
    "cpu_time_reset",
}


@dataclass
class _Trials:
    """Totals of the trials' windows in a ledger.

    Attributes:
        open_since_ns: Time at which each window that is open now was opened, by id.
        closed: Attempts whose windows were closed. An attempt has several if its phases have windows of their own.
        wall_s: Sum of the windows' durations, in seconds.
        cpu_s: Sum of their CPU times, in seconds.
        max_concurrent: Largest number of windows that were open at the same time.
    """

    open_since_ns: dict[str, int] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    wall_s: float = 0.0
    cpu_s: float = 0.0
    max_concurrent: int = 0

    @property
    def ended(self) -> int:
        """Number of attempts that ended."""
        return len(self.closed)

    def add(self, record: Record, window: Window) -> None:
        """Add the opening or the closing of a window."""
        if record.kind == "open":
            self.open_since_ns[window.id] = record.counters.t_ns
            self.max_concurrent = max(self.max_concurrent, len(self.open_since_ns))
        elif window.id in self.open_since_ns:
            wall_s = (record.counters.t_ns - self.open_since_ns.pop(window.id)) / 1e9
            self.closed.add("/".join(window.id.split("/")[:2]))
            self.wall_s += wall_s
            self.cpu_s += record.windows.get(window.id, 0) / 1e6


def strategy_phases(records: Sequence[Record], epochs: int) -> Phases | None:
    """Split the time and energy of a strategy's ledger into trainings and overhead.

    Args:
        records: Records of the strategy's only node, in the order of time.
        epochs: Sum of the epochs of its trials, at least 1.

    Returns:
        The phases; None if no trial ended, if metering started more than once, or if part of the energy is unknown.
    """
    ledger, trials = RunningAccount(), _Trials()
    moments: list[_Moment] = []
    of_trials: list[int] = []
    for record in records:
        ledger.add(record)
        moments.append(_Moment.of(record, ledger.account))
        if record.window and record.window.bucket == "trials":
            trials.add(record, record.window)
            of_trials.append(len(moments) - 1)
    hardware = records[0].hardware if records else None
    starts = sum(record.kind == "start" for record in records)
    if hardware is None or starts != 1 or not trials.ended or _INCOMPLETE_FLAGS & ledger.account.flags.keys():
        return None
    # Which GPUs the strategy left unused is known at the end of the ledger; the account leaves them out as well.
    begin, first, last, end = (
        moments[place].without(ledger.account.unused_gpus) for place in (0, of_trials[0], of_trials[-1], -1)
    )
    in_trials_uj = without_memory_uj(ledger.account, "trials")
    training_s = (last.t_ns - first.t_ns) / 1e9
    waves = math.ceil(trials.ended / trials.max_concurrent)
    overhead = StrategyOverhead(
        fixed=begin.charge_until(first, hardware) + last.charge_until(end, hardware),
        gap_s=max(0.0, training_s / waves - trials.wall_s / trials.ended),
        gap_uj=(last.used_uj - first.used_uj - in_trials_uj) / trials.ended,
    )
    return Phases(overhead, WorkUsage(trials.wall_s, trials.cpu_s, in_trials_uj) * (1 / epochs))
