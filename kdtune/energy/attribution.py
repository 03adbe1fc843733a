"""Attribution of a node's energy to buckets and windows, computed from the records of its ledger.

All arithmetic uses integers, and one rule always holds: for every interval between two records, and so for any
number of consecutive intervals, the buckets sum exactly to the energy that the node used. The node's energy comes
from absolute counters, so it does not depend on how often the counters were read.

- CPU energy is split by CPU time: that of each window's process and its descendants, that of the study's other
  processes (``orchestration``: Ray, the driver, workers that are starting), and that of all other processes
  (``other``).
- GPU energy is split by Ray's allocation. It counts as ``orchestration`` while a worker is being prepared and as
  ``idle`` while no window holds the GPU. A GPU that no window of the ledger ever holds is not used by the study, so
  its energy is ``other``.
- Memory energy is split by the cores that Ray allocated. The share of unallocated cores is ``idle``.
- Where other studies are metered on the same node, what they hold is ``other``, and idle energy is split evenly
  between the studies.

Nothing is guessed: each interval whose energy is not fully known is counted in ``Account.flags``.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

from kdtune.energy.interval_shares import BUCKETS, pieces_of, split_cpu, split_gpu, split_memory
from kdtune.energy.intervals import ReadAt, cpu_time_was_reset, cpu_uj, gpu_uj, interval_flags, node_uj
from kdtune.energy.ledger import Record, Window
from kdtune.energy.sensors.node import QUALITIES, Hardware, Quality

#: Explanation of each flag, shown to users: what happened, and what it means for the figures.
FLAGS = {
    "gpu_counter_reset": "a GPU's energy counter was reset; the energy since the last reading is not in the figures",
    "gpu_unread": "a GPU's energy could not be read for some time; the next successful reading, if any, includes it",
    "gpu_unmetered": "a trial held a GPU that was not metered for it (a MIG slice, a GPU outside CUDA_VISIBLE_DEVICES, "
    "or one that Ray gave to a worker started by the trial); energy measured on such a GPU is counted as idle",
    "gpu_shared": "several trials held a GPU at the same time; its energy was divided by their shares of it and not by "
    "their work",
    "poll_late": "the power of a GPU without an energy counter was read late; its energy is computed as if the power "
    "had been constant since the last reading",
    "cpu_time_reset": "the node's busy CPU time was reset; the CPU energy since the last reading is not in the figures",
    "rapl_unread": "the CPU's energy could not be read for some time; the next successful reading, if any, includes it",
    "rapl_reset": "the CPU's energy counter was reset; the energy since the last reading is not in the figures",
    "rapl_ambiguous": "the CPU's energy counter may have wrapped more than once between two readings; the CPU energy "
    "may be too low",
    "meter_restarted": "the meter ended unexpectedly and was restarted; the counters cover the time between",
    "gap": "no meter ran for some time, and it is not known whether the study was running; one second of it is "
    "charged, and the rest is reported as gap_uj",
    "rebooted": "the machine was rebooted during a study; one second is charged, and the rest of the energy "
    "between the last record and the reboot is not in the figures",
    "sensor_left_out": "a sensor could not be read and is not used; 'kdtune doctor' shows which one and why",
    "unended": "a meter is still running, or was killed and not restarted; energy used after its last record is not in "
    "the figures",
    "worker_unknown": "some Ray workers could not be assigned to the trial that started them (tasks, or actors on a "
    "machine other than the trial's); their energy is counted as orchestration (as other on a cluster that was already "
    "running), not as trials",
    "node_unread": "the ledger of a metered machine is missing (the file was lost, or the machines do not share this "
    "folder); the energy of that machine and of the trials on it is not in the figures",
    "machine_counted_twice": "several nodes (containers or pods) are one machine, and each node's meter measured all "
    "of it; energy of that machine outside the trials is counted more than once",
    "trial_unmetered": "a trial is missing from the ledger (lines or a file were lost, or its node had no meter); its "
    "energy is not in the figures",
    "teacher_unmetered": "at least part of the teacher's training ran outside a study (a DistillTrainable in another "
    "pipeline), or its ledger was lost; the energy of its training is unknown",
    "trial_unlogged": "a trial of the ledger is missing from the trial log (lines were lost, or the study was killed "
    "as the trial started); its energy is in the figures",
    "node_shared": "another study was metered on the node at the same time; idle energy was split between the studies",
}

#: The flag of energy that was split with another study. Alone on the node, the same work would be charged more.
SHARED_NODE = "node_shared"


@dataclass
class Account:
    """Energy used and to what it was charged, in integer microjoules.

    Attributes:
        buckets: Energy by bucket; the buckets sum to ``node_uj``.
        sources: For each bucket, energy by device and by how it was obtained, such as ``gpu_counter`` or
            ``ram_modelled``; the sources sum to the bucket.
        windows: Energy by window id; part of ``trials`` and ``evaluation``.
        node_uj: Energy of the node, from its counters.
        duration_ns: Time covered, in nanoseconds; time that several nodes cover together counts once.
        gap_uj: Energy that the node used while no meter ran and no work is known of; not part of ``node_uj``.
        gpu_ns: GPU time that Ray allocated to windows, as time multiplied by the share of the GPU, in nanoseconds.
        quality: The least reliable source of CPU and GPU energy; None before the first interval.
        hardware: Hardware by node name.
        flags: Number of occurrences of each flag of :data:`FLAGS`.
        held_gpus: UUIDs of the GPUs that a window held at some time.
        unheld_uj: Idle energy of each GPU while no window held it, by UUID; part of ``idle``.
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
        """Return the energy charged to the study, in microjoules; see :func:`charged_energy_uj`."""
        return charged_energy_uj(self.buckets, dedicated=dedicated)

    def flag(self, name: str) -> None:
        """Count one more occurrence of a flag.

        Args:
            name: A key of :data:`FLAGS`.
        """
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
            hardware: The node's hardware.
            windows: Windows that are open during the interval.
            before: The earlier record, in which a counter that could not be read keeps its previous value.
            after: The later record, as it was read.
            read_at: When each counter was last read, in nanoseconds; a counter that is missing here was read at
                ``before``.
        """
        flags = interval_flags(hardware, before, after, read_at)
        after = carried_over(before, after)
        pieces = pieces_of(before.counters.t_ns, after.counters.t_ns, after.neighbours)
        charges = split_cpu(cpu_uj(hardware, before, after, read_at), windows, before, after, pieces)
        self._charge(f"cpu_{hardware.cpu_quality}", charges, windows)
        for uuid in hardware.gpus:
            charges = split_gpu(gpu_uj(before, after, uuid), uuid, windows, pieces)
            self._charge(f"gpu_{hardware.gpu_quality[uuid]}", charges, windows)
            if holders := sum(uuid in window.gpus for window in windows):
                self.held_gpus.add(uuid)
                if holders > 1:
                    self.flag("gpu_shared")
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
        for flag in flags:
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
        """UUIDs of the GPUs that no window ever held.

        If no window held any GPU, the ledger does not show which GPUs the study uses, and none counts as unused.
        """
        return self.unheld_uj.keys() - self.held_gpus if self.held_gpus else set()

    def without_unused_gpus(self, *, uses_others: bool = False) -> "Account":
        """Return an account in which the idle energy of :attr:`unused_gpus` is moved to ``other``.

        Args:
            uses_others: Whether windows on other nodes held GPUs, so that those of this node that none held are unused.
        """
        unused = set(self.unheld_uj) - self.held_gpus if uses_others else self.unused_gpus
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

    def charge_estimate(self, bucket: str, energy: int) -> None:
        """Charge an estimated energy that belongs to no interval.

        Args:
            bucket: The bucket that is charged.
            energy: Microjoules.
        """
        self.buckets[bucket] += energy
        _add_to(self.sources[bucket], {"lump_modelled": energy})
        self.node_uj += energy

    def merge(self, other: "Account") -> None:
        """Add the account of another node, or of another part of the same ledger, to this one."""
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
    """Return the buckets that are charged to a study.

    Args:
        dedicated: Whether idle energy is charged too. ``other`` is never charged.
    """
    left_out = {"other"} if dedicated else {"other", "idle"}
    return [bucket for bucket in BUCKETS if bucket not in left_out]


def charged_energy_uj(buckets: Mapping[str, int], *, dedicated: bool = True) -> int:
    """Return the energy charged to a study, in microjoules.

    Args:
        buckets: Energy by bucket, in microjoules.
        dedicated: Whether idle energy is charged too; see :func:`charged_buckets`.
    """
    return sum(buckets.get(bucket, 0) for bucket in charged_buckets(dedicated=dedicated))


def _add_to(total: dict[str, int], part: Mapping[str, int]) -> None:
    for key, value in part.items():
        total[key] = total.get(key, 0) + value


def carried_over(last: Record, record: Record) -> Record:
    """Return a record in which counters that could not be read, or stepped back a little, keep their last values.

    The next successful reading then covers the whole time since those values.

    Args:
        last: The record before, already carried over itself.
        record: The record as it was read.
    """
    a, b = last.counters, record.counters
    busy_us = b.busy_us if cpu_time_was_reset(a, b) else max(a.busy_us, b.busy_us)
    counters = replace(b, busy_us=busy_us, rapl_uj={**a.rapl_uj, **b.rapl_uj}, gpu_mj={**a.gpu_mj, **b.gpu_mj})
    return replace(record, counters=counters)
