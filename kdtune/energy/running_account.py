"""The account of one node's ledger, computed record by record."""

from collections.abc import Iterable
from dataclasses import replace

from kdtune.energy.attribution import Account, carried_over
from kdtune.energy.intervals import interval_flags, node_uj
from kdtune.energy.ledger import Record, Window
from kdtune.energy.sensors.node import Hardware


class RunningAccount:
    """The account of a ledger, extended record by record.

    The meter uses it while a study runs, and readers of a ledger use it afterwards, so both compute the same figures.

    Attributes:
        account: The account so far.
        last: The latest record, with unread counters carried over; None before the first.
    """

    def __init__(self) -> None:
        self.account = Account()
        self.last: Record | None = None
        self._hardware: Hardware | None = None
        self._open: dict[str, Window] = {}
        self._power = _RecentPower()
        self._read_at: dict[str, int] = {}

    def add(self, record: Record) -> None:
        """Charge the interval between the last record and this one.

        The time between a ``stop`` and the next record is not charged, since other ledgers contain it.
        """
        last, hardware = self.last, self._hardware
        continues = last is not None and last.kind != "stop" and last.counters.boot_id == record.counters.boot_id
        if last and hardware and last.kind != "stop":
            if record.kind == "start":
                self._bridge(hardware, last, record)
            else:
                before_uj = self.account.charged_uj()
                self.account.add(hardware, list(self._open.values()), last, record, self._read_at)
                self._power.add(self.account.charged_uj() - before_uj, record.counters.t_ns - last.counters.t_ns)
        if record.kind in ("start", "stop"):
            self._open.clear()
        elif record.kind == "open" and record.window:
            self._open[record.window.id] = record.window
        elif record.kind == "close" and record.window:
            self._open.pop(record.window.id, None)
        if record.hardware and record.hardware.left_out:
            self.account.flag("sensor_left_out")
        self._hardware = record.hardware or hardware
        self._read_at |= dict.fromkeys((*record.counters.rapl_uj, *record.counters.gpu_mj), record.counters.t_ns)
        self.last = carried_over(last, record) if last and continues else record

    def _bridge(self, hardware: Hardware, last: Record, start: Record) -> None:
        """Charge the gap between a meter that was killed with its study and the next meter.

        The study may have worked for up to one sampling period (a second) after the last record, so a second is
        charged, at the study's most recent power. The rest of the gap is reported as ``gap_uj`` and not charged, since
        no work is known of. After a reboot, the counters do not cover the gap, so only the second is counted. The gap
        ends when the command that started the next meter began, since that command's session ledger covers the time
        from then on.

        Args:
            hardware: The node's hardware.
            last: The last record of the killed meter.
            start: The first record of the next meter.
        """
        end = start
        if start.began and start.began.t_ns >= last.counters.t_ns:
            end = replace(start, counters=start.began)
        one_second_uj = self._power.uj_per_s()
        if last.counters.boot_id == end.counters.boot_id:
            total = node_uj(hardware, last, carried_over(last, end), self._read_at)
            for flag in {"gap", *interval_flags(hardware, last, end, self._read_at)}:
                self.account.flag(flag)
        else:
            total = one_second_uj
            self.account.flag("rebooted")
        charged = min(total, one_second_uj)
        self.account.charge_estimate("orchestration", charged)
        self.account.gap_uj += total - charged


class _RecentPower:
    """The study's mean power over the most recent second or more, since single intervals may be too short for one."""

    def __init__(self) -> None:
        self._energy_uj = self._time_ns = 0
        self._last_uj_per_s: int | None = None

    def add(self, energy_uj: int, time_ns: int) -> None:
        """Add an interval."""
        self._energy_uj += energy_uj
        self._time_ns += time_ns
        if self._time_ns >= 1_000_000_000:
            self._last_uj_per_s = self._energy_uj * 1_000_000_000 // self._time_ns
            self._energy_uj = self._time_ns = 0

    def uj_per_s(self) -> int:
        """Return the power in microjoules per second; 0 before the first interval."""
        if self._last_uj_per_s is not None:
            return self._last_uj_per_s
        return self._energy_uj * 1_000_000_000 // self._time_ns if self._time_ns else 0


def account_of_ledger(records: Iterable[Record]) -> Account:
    """Return the account of the ledger of a study that has one node.

    Args:
        records: All records of the ledger, in the order of time.
    """
    return account_with_unused_gpus(records).without_unused_gpus()


def account_with_unused_gpus(records: Iterable[Record]) -> Account:
    """Return the account of one node's ledger, in which the idle energy of all of its GPUs is charged.

    Args:
        records: All records of the ledger, in the order of time.
    """
    ledger = RunningAccount()
    for record in records:
        ledger.add(record)
    if ledger.last and ledger.last.kind != "stop":
        ledger.account.flag("unended")
    return ledger.account
