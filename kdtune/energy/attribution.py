"""From counters to who is charged: integer arithmetic, nothing lost and nothing twice.

The law: for every interval between two records, and so for any number of them, the buckets sum exactly to what
the node used in it. The node's own figure comes from absolute counters, so it does not depend on how often
they were read.

- CPU: by the CPU time of each window's process and its children; of the study's other processes
  (``orchestration``: Ray, the driver, starting workers); of everybody else (``other``).
- GPU: by Ray's allocation; one that nobody holds is ``idle``.
- Memory: by the cores that Ray gave; the share of the cores that nobody holds is ``idle``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kdtune.energy.ledger import Record, Window
from kdtune.energy.sensors import QUALITIES, Hardware, Quality

BUCKETS = ("trials", "evaluation", "orchestration", "idle", "other")

#: Shares of a core and of a GPU are weighed as integers.
_MILLI = 1000


def split_integer(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split an integer in proportion to integer weights, exactly: largest remainder, ties to the first.

    Args:
        total: What to split, at least 0.
        weights: At least 0 each, and not all 0 unless ``total`` is 0.
    """
    whole = sum(weights.values())
    if whole == 0:
        if total:
            raise ValueError(f"{total} cannot be split among weights that are all 0")
        return dict.fromkeys(weights, 0)
    shares = {key: total * weight // whole for key, weight in weights.items()}
    missing = total - sum(shares.values())
    by_remainder = sorted(weights, key=lambda key: -(total * weights[key] % whole))
    for key in by_remainder[:missing]:
        shares[key] += 1
    return shares


def cpu_uj(hardware: Hardware, before: Record, after: Record) -> int:
    """Energy of the CPU between two records, in microjoules.

    RAPL where it is readable, a counter that wrapped once put right. Else a linear model, design power times
    busy cores: the figure of a busy second then does not depend on what ran beside it.
    """
    a, b = before.counters, after.counters
    if hardware.cpu_quality == "counter":
        return sum(
            (b.rapl_uj[zone] - a.rapl_uj[zone]) % limit
            for zone, limit in hardware.rapl_range_uj.items()
            if zone in a.rapl_uj and zone in b.rapl_uj and limit
        )

    def so_far(busy_us: int) -> int:
        return busy_us * hardware.tdp_uw // (hardware.cores * 1_000_000)

    return max(0, so_far(b.busy_us) - so_far(a.busy_us))


def ram_uj(hardware: Hardware, before: Record, after: Record) -> int:
    """Energy of the memory between two records: modelled power times time, in microjoules."""

    def so_far(t_ns: int) -> int:
        return t_ns * hardware.ram_uw // 1_000_000_000

    return max(0, so_far(after.counters.t_ns) - so_far(before.counters.t_ns))


def gpu_uj(before: Record, after: Record, uuid: str) -> int:
    """Energy of one GPU between two records, in microjoules; 0 where its counter was not read or started anew."""
    a, b = before.counters.gpu_mj.get(uuid), after.counters.gpu_mj.get(uuid)
    return max(0, b - a) * 1000 if a is not None and b is not None else 0


def node_uj(hardware: Hardware, before: Record, after: Record) -> int:
    """Energy of the whole node between two records, from its counters alone, in microjoules."""
    gpus = sum(gpu_uj(before, after, uuid) for uuid in hardware.gpus)
    return cpu_uj(hardware, before, after) + ram_uj(hardware, before, after) + gpus


@dataclass
class Account:
    """What was used and who is charged, in integer microjoules.

    Attributes:
        buckets: Energy by bucket; their sum is ``node_uj``.
        windows: Energy by window, a part of ``trials`` and ``evaluation``.
        node_uj: Energy of the node, from its counters.
        duration_ns: Time covered.
        gap_uj: What the node used while no meter ran and nobody is known to have worked; outside ``node_uj``.
        gpu_ns: GPU time that Ray gave to windows, as time times share.
        quality: The least trustworthy source; None before any interval.
        hardware: Of each node.
    """

    buckets: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BUCKETS, 0))
    windows: dict[str, int] = field(default_factory=dict)
    node_uj: int = 0
    gap_uj: int = 0
    duration_ns: int = 0
    gpu_ns: int = 0
    quality: Quality | None = None
    hardware: dict[str, Hardware] = field(default_factory=dict)

    def charged_uj(self, *, dedicated: bool = True) -> int:
        """What the study has to answer for: all but ``other``, and ``idle`` too unless the node is its own."""
        left_out = self.buckets["other"] + (0 if dedicated else self.buckets["idle"])
        return self.node_uj - left_out

    def add(self, hardware: Hardware, windows: Sequence[Window], before: Record, after: Record) -> None:
        """Charge the interval between two records.

        Args:
            hardware: Of the node.
            windows: Those open during the interval.
            before: The earlier record.
            after: The later one.
        """
        bucket_of = {window.id: window.bucket for window in windows}
        charges = _split_cpu(cpu_uj(hardware, before, after), windows, before, after)
        for uuid in hardware.gpus:
            energy = gpu_uj(before, after, uuid)
            holders = {w.id: max(1, round(w.gpus[uuid] * _MILLI)) for w in windows if uuid in w.gpus}
            _add_to(charges, split_integer(energy, holders or {"idle": 1}))
        energy = ram_uj(hardware, before, after)
        held = {window.id: round(window.cpus * _MILLI) for window in windows}
        free = max(0, hardware.cores * _MILLI - sum(held.values()))
        _add_to(charges, split_integer(energy, {**held, "idle": free}))

        for name, energy in charges.items():
            if name in bucket_of:
                self.windows[name] = self.windows.get(name, 0) + energy
            self.buckets[bucket_of.get(name, name)] += energy
        elapsed_ns = after.counters.t_ns - before.counters.t_ns
        self.node_uj += node_uj(hardware, before, after)
        self.duration_ns += elapsed_ns
        self.gpu_ns += round(elapsed_ns * sum(share for window in windows for share in window.gpus.values()))
        self.quality = max(filter(None, (self.quality, hardware.quality)), key=QUALITIES.index)
        self.hardware[hardware.node] = hardware

    def merge(self, other: "Account") -> None:
        """Take in another node's account, or another part of the same ledger."""
        _add_to(self.buckets, other.buckets)
        _add_to(self.windows, other.windows)
        self.node_uj += other.node_uj
        self.gap_uj += other.gap_uj
        self.duration_ns = max(self.duration_ns, other.duration_ns)
        self.gpu_ns += other.gpu_ns
        self.quality = max(filter(None, (self.quality, other.quality)), key=QUALITIES.index, default=None)
        self.hardware |= other.hardware


def _add_to(total: dict[str, int], part: Mapping[str, int]) -> None:
    for key, value in part.items():
        total[key] = total.get(key, 0) + value


def _split_cpu(energy: int, windows: Sequence[Window], before: Record, after: Record) -> dict[str, int]:
    spent = {w.id: max(0, after.windows.get(w.id, 0) - before.windows.get(w.id, 0)) for w in windows}
    in_windows = sum(spent.values())
    of_study = max(in_windows, after.study_us - before.study_us)
    busy = max(of_study, after.counters.busy_us - before.counters.busy_us)
    weights = {**spent, "orchestration": of_study - in_windows, "other": busy - of_study}
    return split_integer(energy, weights if busy else {"idle": 1})


def _carried_over(last: Record, record: Record) -> Record:
    """A counter that could not be read stands where it stood: the next reading catches up."""
    a, b = last.counters, record.counters
    counters = replace(b, rapl_uj={**a.rapl_uj, **b.rapl_uj}, gpu_mj={**a.gpu_mj, **b.gpu_mj})
    return replace(record, counters=counters)


class OpenLedger:
    """Charges a ledger record by record: what the meter does live and the reader does afterwards."""

    def __init__(self) -> None:
        self.account = Account()
        self._hardware: Hardware | None = None
        self._uj_per_s = 0
        self._last: Record | None = None
        self._open: dict[str, Window] = {}

    def add(self, record: Record) -> None:
        """Charge what lies between the last record and this one.

        Nothing lies between a ``stop`` and what follows it: other ledgers hold that time.
        """
        last, hardware = self._last, self._hardware
        if last and last.kind != "stop" and last.counters.boot_id == record.counters.boot_id:
            record = _carried_over(last, record)
        if last and hardware and last.kind != "stop":
            if record.kind == "start":
                self._bridge(hardware, last, record)
            else:
                used, covered_ns = self.account.node_uj, record.counters.t_ns - last.counters.t_ns
                self.account.add(hardware, list(self._open.values()), last, record)
                if covered_ns > 0:
                    self._uj_per_s = (self.account.node_uj - used) * 1_000_000_000 // covered_ns
        if record.kind in ("start", "stop"):
            self._open.clear()
            self._hardware = record.hardware or hardware
        elif record.kind == "open" and record.window:
            self._open[record.window.id] = record.window
        elif record.kind == "close" and record.window:
            self._open.pop(record.window.id, None)
        self._last = record

    def _bridge(self, hardware: Hardware, last: Record, start: Record) -> None:
        """A meter was killed and another one started later.

        Work went on for up to one sampling period after the last record, so that is charged, at the last power;
        the rest is only told, since nobody is known to have worked. After another boot the counters tell nothing.
        """
        same_boot = last.counters.boot_id == start.counters.boot_id
        total = node_uj(hardware, last, start) if same_boot else self._uj_per_s
        charged = min(total, self._uj_per_s)
        self.account.buckets["orchestration"] += charged
        self.account.node_uj += charged
        self.account.gap_uj += total - charged


def charge(records: Iterable[Record]) -> Account:
    """The account of one node's ledger, its records in the order of time."""
    ledger = OpenLedger()
    for record in records:
        ledger.add(record)
    return ledger.account


def charge_all(nodes: Mapping[str, Iterable[Record]]) -> Account:
    """The account of several nodes' ledgers together."""
    total = Account()
    for records in nodes.values():
        total.merge(charge(records))
    return total
