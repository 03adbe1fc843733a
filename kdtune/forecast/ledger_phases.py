"""What an earlier strategy's ledger says of the next one: its trainings, and what came before, between and after."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from kdtune.energy.attribution import Account, OpenLedger, charge
from kdtune.energy.interval_shares import BUCKETS
from kdtune.energy.ledger import Record, Window
from kdtune.energy.sensors.node import Hardware
from kdtune.forecast.strategy_estimate import Charge, Overhead, Usage


@dataclass(frozen=True)
class Phases:
    """A strategy that ran to its end on one node, taken apart.

    Attributes:
        overhead: What it took beside its trainings.
        epoch: One epoch's mean, its evaluation and checkpoint included.
    """

    overhead: Overhead
    epoch: Usage


@dataclass(frozen=True)
class _Moment:
    """What had been used when, as totals.

    The memory is left out: its power is constant, and what of it a study is charged depends on its neighbours.
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
        """The same moment without the idle energy of some GPUs."""
        unused_uj = sum(self.unheld_uj.get(gpu, 0) for gpu in unused_gpus)
        return replace(self, used_uj=self.used_uj - unused_uj, idle_uj=self.idle_uj - unused_uj)

    def until(self, later: "_Moment", hardware: Hardware) -> Charge:
        wall_s = (later.t_ns - self.t_ns) / 1e9
        memory_uj = hardware.ram_uw * wall_s
        return Charge(wall_s, later.used_uj - self.used_uj + memory_uj, later.idle_uj - self.idle_uj + memory_uj)


def without_memory_uj(account: Account, bucket: str) -> int:
    """A bucket's energy but for the memory's, in microjoules."""
    return account.buckets[bucket] - account.sources[bucket].get("ram_modelled", 0)


def whole(records: Sequence[Record]) -> Charge | None:
    """What a ledger without trials came to, such as a session's, as if no other study had been on the node.

    Returns:
        None where nothing was counted, or not all of it is known.
    """
    account = charge(records)
    if account.quality is None or _UNFIT & account.flags.keys():
        return None
    hardware = next(iter(account.hardware.values()))
    memory_uj = hardware.ram_uw * account.duration_ns / 1e9
    used_uj = sum(without_memory_uj(account, bucket) for bucket in BUCKETS if bucket != "other")
    return Charge(account.duration_ns / 1e9, used_uj + memory_uj, without_memory_uj(account, "idle") + memory_uj)


#: Of such a ledger part of the energy is not known.
_UNFIT = {"gap", "rebooted", "gpu_unmetered", "gpu_unread", "gpu_counter_reset", "rapl_ambiguous", "cpu_time_reset"}


@dataclass
class _Trials:
    """The trials' windows of a ledger."""

    open_since_ns: dict[str, int] = field(default_factory=dict)
    ended: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    side_by_side: int = 0

    def take(self, record: Record, window: Window) -> None:
        if record.kind == "open":
            self.open_since_ns[window.id] = record.counters.t_ns
            self.side_by_side = max(self.side_by_side, len(self.open_since_ns))
        elif window.id in self.open_since_ns:
            wall_s = (record.counters.t_ns - self.open_since_ns.pop(window.id)) / 1e9
            self.ended += 1
            self.wall_s += wall_s
            self.cpu_s += record.windows.get(window.id, 0) / 1e6


def phases(records: Sequence[Record], epochs: int) -> Phases | None:
    """Take a strategy's ledger apart.

    Args:
        records: Of its one node, in the order of time.
        epochs: That its trials trained together, at least 1.

    Returns:
        None where no trial ended in it, where it was begun more than once, or where not all of it is known.
    """
    ledger, trials = OpenLedger(), _Trials()
    moments: list[_Moment] = []
    of_trials: list[int] = []
    for record in records:
        ledger.add(record)
        moments.append(_Moment.of(record, ledger.account))
        if record.window and record.window.bucket == "trials":
            trials.take(record, record.window)
            of_trials.append(len(moments) - 1)
    hardware = records[0].hardware if records else None
    starts = sum(record.kind == "start" for record in records)
    if hardware is None or starts != 1 or not trials.ended or _UNFIT & ledger.account.flags.keys():
        return None
    # Only the end of the ledger tells which GPUs the strategy did without; like the account, these leave them out.
    begin, first, last, end = (
        moments[place].without(ledger.account.unused_gpus) for place in (0, of_trials[0], of_trials[-1], -1)
    )
    in_trials_uj = without_memory_uj(ledger.account, "trials")
    training_s = (last.t_ns - first.t_ns) / 1e9
    waves = math.ceil(trials.ended / trials.side_by_side)
    overhead = Overhead(
        fixed=begin.until(first, hardware) + last.until(end, hardware),
        gap_s=max(0.0, training_s / waves - trials.wall_s / trials.ended),
        gap_uj=(last.used_uj - first.used_uj - in_trials_uj) / trials.ended,
    )
    return Phases(overhead, Usage(trials.wall_s, trials.cpu_s, in_trials_uj) * (1 / epochs))
