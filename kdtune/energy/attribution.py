"""From counters to who is charged: integer arithmetic, nothing lost and nothing twice.

The law: for every interval between two records, and so for any number of them, the buckets sum exactly to what
the node used in it. The node's own figure comes from absolute counters, so it does not depend on how often
they were read.

- CPU: by the CPU time of each window's process and its children; of the study's other processes
  (``orchestration``: Ray, the driver, starting workers); of everybody else (``other``).
- GPU: by Ray's allocation, ``orchestration`` while a worker is prepared; while nobody holds it, it is ``idle``. One
  that no window of the ledger ever holds is ``other``: the study does not use it.
- Memory: by the cores that Ray gave; the share of the cores that nobody holds is ``idle``.
- Where other studies are metered on the node, what they hold is ``other`` here, and idle power is split evenly.

What cannot be known is not guessed: it is counted in ``Account.flags``.
"""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

from kdtune.energy.interval_shares import BUCKETS, pieces_of, split_cpu, split_gpu, split_memory
from kdtune.energy.intervals import ReadAt, cpu_time_began_anew, cpu_uj, found_odd, gpu_uj, node_uj
from kdtune.energy.ledger import Record, Window
from kdtune.energy.sensors.node import QUALITIES, Hardware, Quality

#: What a reader may have to be told, in words; ``Account.flags`` counts intervals.
FLAGS = {
    "gpu_counter_reset": "a GPU's energy counter started anew; what it had counted since the last reading is lost",
    "gpu_unread": "a GPU's energy could not be read for a time; a later reading, if there was one, has it",
    "gpu_unmetered": "a trial held a GPU that no sensor here covers (a MIG slice, or one outside CUDA_VISIBLE_DEVICES) "
    "or that was given to a worker which it started; what is metered of such a GPU is in idle",
    "poll_late": "a GPU without an energy counter was polled late, and its power taken as constant in between",
    "cpu_time_reset": "the node's count of busy CPU time started anew; what it had counted since is lost",
    "rapl_unread": "the CPU's energy could not be read for a time; a later reading, if there was one, has it",
    "rapl_reset": "the CPU's energy counter started anew; what it had counted since the last reading is lost",
    "rapl_ambiguous": "the CPU's energy counter may have wrapped more than once between two readings",
    "meter_restarted": "the meter died and was started again; the counters bridged the time in between",
    "gap": "no meter ran and nobody is known to have worked; a second was charged and the rest is told as gap_uj",
    "rebooted": "the machine was started anew while a study was at work, so its counters tell nothing of that time",
    "sensor_left_out": "a sensor could not be probed and is left out; 'kdtune doctor' names it and the cause",
    "unended": "a meter was killed and nothing followed; what was used after its last record is not known",
    "worker_unknown": "Ray workers were at work of which it is not known which trial started them (tasks, or actors on "
    "another machine than the trial's own process); what they used is in orchestration, or in other on a cluster that "
    "was running before, and not in the trials",
    "node_unread": "a machine was metered whose ledger is not here (its meter wrote into a folder of its own where the "
    "machines do not share this one, or the file is lost); what the trials on it and the machine took is not in the "
    "figures",
    "machine_counted_twice": "nodes with several host names (containers or pods) were one machine, and each had a "
    "meter that counted all of it; what the machine used beside the trials is in the figures more than once",
    "trial_unmetered": "a training is not in the ledger, which has lost lines or a file, or had no meter on its node; "
    "what it took is not in the figures",
    "teacher_unmetered": "the teacher was trained, in part at least, outside a study (by a DistillTrainable in a "
    "pipeline of its user's), or its ledger is gone; what its training took is not known",
    "trial_unlogged": "a training in the ledger is not in the trial log, which has lost lines, or all was killed as it "
    "began; what it took is in the figures",
    "node_shared": "another study was metered on the node at the same time, and idle power was split with it",
}

#: The flag of energy that another study had a part in: alone on the machine the same work would be charged more.
SHARED_NODE = "node_shared"


@dataclass
class Account:
    """What was used and who is charged, in integer microjoules.

    Attributes:
        buckets: Energy by bucket; their sum is ``node_uj``.
        sources: Of each bucket, energy by what used it and how that is known, such as ``gpu_counter`` and
            ``ram_modelled``; each sums to its bucket.
        windows: Energy by window, a part of ``trials`` and ``evaluation``.
        node_uj: Energy of the node, from its counters.
        duration_ns: Time covered; that of several nodes at once counts once.
        gap_uj: What the node used while no meter ran and nobody is known to have worked; outside ``node_uj``.
        gpu_ns: GPU time that Ray gave to windows, as time times share.
        quality: The least trustworthy source of CPU and GPU energy; None before any interval.
        hardware: Of each node.
        flags: How often something could not be known, or was not as it should be: see :data:`FLAGS`.
        held_gpus: UUIDs of the GPUs that a window held at some time.
        unheld_uj: Idle energy of each GPU while no window held it; a part of ``idle``.
    """

    buckets: dict[str, int] = field(default_factory=lambda: dict.fromkeys(BUCKETS, 0))
    sources: dict[str, dict[str, int]] = field(default_factory=lambda: {bucket: {} for bucket in BUCKETS})
    windows: dict[str, int] = field(default_factory=dict)
    node_uj: int = 0
    gap_uj: int = 0
    duration_ns: int = 0
    gpu_ns: int = 0
    quality: Quality | None = None
    hardware: dict[str, Hardware] = field(default_factory=dict)
    flags: dict[str, int] = field(default_factory=dict)
    held_gpus: set[str] = field(default_factory=set)
    unheld_uj: dict[str, int] = field(default_factory=dict)

    def charged_uj(self, *, dedicated: bool = True) -> int:
        """What the study has to answer for; see :func:`charged_of`."""
        return charged_of(self.buckets, dedicated=dedicated)

    def flag(self, name: str) -> None:
        """Count one more of something that a reader has to be told."""
        assert name in FLAGS
        self.flags[name] = self.flags.get(name, 0) + 1

    def add(
        self,
        hardware: Hardware,
        windows: Sequence[Window],
        before: Record,
        after: Record,
        read_at: ReadAt | None = None,
    ) -> None:
        """Charge the interval between two records.

        Args:
            hardware: Of the node.
            windows: Those open during the interval.
            before: The earlier record; a counter that could not be read stands where it stood.
            after: The later one, as it was read.
            read_at: When each counter was last read, in nanoseconds; with ``before`` unless it says so.
        """
        odd = found_odd(hardware, before, after, read_at)
        after = carried_over(before, after)
        pieces = pieces_of(before.counters.t_ns, after.counters.t_ns, after.neighbours)
        charges = split_cpu(cpu_uj(hardware, before, after, read_at), windows, before, after, pieces)
        self._charge(f"cpu_{hardware.cpu_quality}", charges, windows)
        for uuid in hardware.gpus:
            charges = split_gpu(gpu_uj(before, after, uuid), uuid, windows, pieces)
            self._charge(f"gpu_{hardware.gpu_quality[uuid]}", charges, windows)
            if any(uuid in window.gpus for window in windows):
                self.held_gpus.add(uuid)
            else:
                _add_to(self.unheld_uj, {uuid: charges.get("idle", 0)})
        for piece in pieces:
            self._charge("ram_modelled", split_memory(hardware, windows, piece), windows)

        elapsed_ns = after.counters.t_ns - before.counters.t_ns
        self.node_uj += node_uj(hardware, before, after, read_at)
        self.duration_ns += elapsed_ns
        self.gpu_ns += round(elapsed_ns * sum(share for window in windows for share in window.gpus.values()))
        self.quality = max(filter(None, (self.quality, hardware.quality)), key=QUALITIES.index)
        self.hardware[hardware.node] = hardware
        for flag in odd:
            self.flag(flag)

    def _charge(self, source: str, charges: Mapping[str, int], windows: Sequence[Window]) -> None:
        bucket_of = {window.id: window.bucket for window in windows}
        for name, energy in charges.items():
            bucket = bucket_of.get(name, name)
            if name in bucket_of and bucket != "orchestration":
                self.windows[name] = self.windows.get(name, 0) + energy
            self.buckets[bucket] += energy
            _add_to(self.sources[bucket], {source: energy})

    @property
    def unused_gpus(self) -> set[str]:
        """UUIDs of the GPUs that the study never held, whose idle energy is not its own.

        A ledger without any window that held a GPU does not tell which GPUs the study uses: none is unused.
        """
        return self.unheld_uj.keys() - self.held_gpus if self.held_gpus else set()

    def without_unused_gpus(self) -> "Account":
        """The account in which the idle energy of :attr:`unused_gpus` is ``other``."""
        unused = self.unused_gpus
        if not unused:
            return self
        account = deepcopy(self)
        quality = {uuid: one for hardware in self.hardware.values() for uuid, one in hardware.gpu_quality.items()}
        for uuid in unused:
            energy = account.unheld_uj.pop(uuid)
            for bucket, part in (("idle", -energy), ("other", energy)):
                account.buckets[bucket] += part
                _add_to(account.sources[bucket], {f"gpu_{quality[uuid]}": part})
        return account

    def charge_lump(self, bucket: str, energy: int) -> None:
        """Charge energy that no interval stands for; such a figure is an estimate."""
        self.buckets[bucket] += energy
        _add_to(self.sources[bucket], {"lump_modelled": energy})
        self.node_uj += energy

    def merge(self, other: "Account") -> None:
        """Take in another node's account, or another part of the same ledger."""
        _add_to(self.buckets, other.buckets)
        for bucket, by_source in other.sources.items():
            _add_to(self.sources[bucket], by_source)
        _add_to(self.windows, other.windows)
        _add_to(self.flags, other.flags)
        self.node_uj += other.node_uj
        self.gap_uj += other.gap_uj
        self.duration_ns += other.duration_ns
        self.gpu_ns += other.gpu_ns
        self.quality = max(filter(None, (self.quality, other.quality)), key=QUALITIES.index, default=None)
        self.hardware |= other.hardware


def charged_buckets(*, dedicated: bool) -> list[str]:
    """The buckets that a study has to answer for: all but ``other``, and ``idle`` too unless the node is its own."""
    left_out = {"other"} if dedicated else {"other", "idle"}
    return [bucket for bucket in BUCKETS if bucket not in left_out]


def charged_of(buckets: Mapping[str, int], *, dedicated: bool = True) -> int:
    """What a study has to answer for, in microjoules; see :func:`charged_buckets`."""
    return sum(buckets.get(bucket, 0) for bucket in charged_buckets(dedicated=dedicated))


def _add_to(total: dict[str, int], part: Mapping[str, int]) -> None:
    for key, value in part.items():
        total[key] = total.get(key, 0) + value


def carried_over(last: Record, record: Record) -> Record:
    """A counter that could not be read, or stepped back a little, stands where it stood: a later reading catches up."""
    a, b = last.counters, record.counters
    busy_us = b.busy_us if cpu_time_began_anew(a, b) else max(a.busy_us, b.busy_us)
    counters = replace(b, busy_us=busy_us, rapl_uj={**a.rapl_uj, **b.rapl_uj}, gpu_mj={**a.gpu_mj, **b.gpu_mj})
    return replace(record, counters=counters)


class OpenLedger:
    """Charges a ledger record by record: what the meter does live and the reader does afterwards."""

    def __init__(self) -> None:
        self.account = Account()
        self.last: Record | None = None
        self._hardware: Hardware | None = None
        self._open: dict[str, Window] = {}
        self._power = _RecentPower()
        self._read_at: dict[str, int] = {}

    def add(self, record: Record) -> None:
        """Charge what lies between the last record and this one.

        Nothing lies between a ``stop`` and what follows it: other ledgers hold that time.
        """
        last, hardware = self.last, self._hardware
        goes_on = last is not None and last.kind != "stop" and last.counters.boot_id == record.counters.boot_id
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
        self.last = carried_over(last, record) if last and goes_on else record

    def _bridge(self, hardware: Hardware, last: Record, start: Record) -> None:
        """A meter was killed with all of its study, and another one started later.

        Work went on for up to one sampling period after the last record, so that is charged, at the study's own last
        power; the rest is only told, since nobody is known to have worked. After another boot the counters tell
        nothing. The gap ends where the command that started the meter began: from there on its session counts.
        """
        end = start
        if start.began and start.began.t_ns >= last.counters.t_ns:
            end = replace(start, counters=start.began)
        a_second_uj = self._power.uj_per_s()
        if last.counters.boot_id == end.counters.boot_id:
            total = node_uj(hardware, last, carried_over(last, end), self._read_at)
            for flag in {"gap", *found_odd(hardware, last, end, self._read_at)}:
                self.account.flag(flag)
        else:
            total = a_second_uj
            self.account.flag("rebooted")
        charged = min(total, a_second_uj)
        self.account.charge_lump("orchestration", charged)
        self.account.gap_uj += total - charged


class _RecentPower:
    """The study's power in the last second or more: intervals may be so short that their own says nothing."""

    def __init__(self) -> None:
        self._energy_uj = self._time_ns = 0
        self._whole: int | None = None

    def add(self, energy_uj: int, time_ns: int) -> None:
        """Another interval."""
        self._energy_uj += energy_uj
        self._time_ns += time_ns
        if self._time_ns >= 1_000_000_000:
            self._whole = self._energy_uj * 1_000_000_000 // self._time_ns
            self._energy_uj = self._time_ns = 0

    def uj_per_s(self) -> int:
        """Microjoules in a second."""
        if self._whole is not None:
            return self._whole
        return self._energy_uj * 1_000_000_000 // self._time_ns if self._time_ns else 0


def charge(records: Iterable[Record]) -> Account:
    """The account of one node's ledger, its records in the order of time."""
    ledger = OpenLedger()
    for record in records:
        ledger.add(record)
    if ledger.last and ledger.last.kind != "stop":
        ledger.account.flag("unended")
    return ledger.account.without_unused_gpus()
