"""Energy that a node used between two records of its ledger, computed from its counters alone.

How this energy is split between windows and buckets is decided in :mod:`kdtune.energy.interval_shares`.
"""

from collections.abc import Mapping

from kdtune.energy.ledger import Record
from kdtune.energy.sensors.busy_time import STEP_US
from kdtune.energy.sensors.node import Counters, Hardware

#: Upper bound of the power of a RAPL zone, in watts; no current socket draws more. It tells wraps from resets.
ZONE_MAX_W = 1000

#: Time between two readings, in seconds, after which polled power says little about the power between them.
POLL_LATE_S = 5.0


#: CPU time up to which workers are taken to be waiting or doing Ray's own work, in microseconds and as a fraction of
#: the interval; the larger of the two applies.
_NEGLIGIBLE_CPU_US, _NEGLIGIBLE_CPU_FRACTION = 50_000, 0.1

ReadAt = Mapping[str, int]
"""Time at which each counter, by zone or UUID, was last read, in nanoseconds; by default that of the record before."""

#: Allowance in seconds: RAPL counters move in steps of a millisecond or more, so a very short interval may contain
#: the energy of a longer one.
_RAPL_SLACK_S = 1.0


def cpu_uj(hardware: Hardware, before: Record, after: Record, read_at: ReadAt | None = None) -> int:
    """Return the energy of the CPU between two records, in microjoules.

    The RAPL counters are used where they can be read. A counter that wrapped once is corrected; one that was reset
    adds nothing. Without RAPL, the energy is modelled as design power times the fraction of busy cores. The model is
    linear, so the energy of a busy second does not depend on what else ran at the time.

    Args:
        hardware: The node's hardware.
        before: The record at the start.
        after: The record at the end.
        read_at: When each counter was last read.
    """
    a, b = before.counters, after.counters
    if hardware.cpu_quality == "counter":
        used_uj = {zone: _zone_uj(hardware, zone, before, after) for zone in hardware.rapl_range_uj}
        return sum(uj for zone, uj in used_uj.items() if _is_possible(uj, _elapsed_s(zone, before, after, read_at)))

    def modelled_uj(busy_us: int) -> int:
        return busy_us * hardware.tdp_uw // (hardware.cores * 1_000_000)

    return max(0, modelled_uj(b.busy_us) - modelled_uj(a.busy_us))


def cpu_time_was_reset(before: Counters, after: Counters) -> bool:
    """Return whether the node's count of busy CPU time was reset: it fell by more than a small correction."""
    return after.busy_us < before.busy_us - STEP_US


def memory_uj(hardware: Hardware, start_ns: int, end_ns: int) -> int:
    """Return the energy of the memory between two moments: modelled power times time, in microjoules."""
    return end_ns * hardware.ram_uw // 1_000_000_000 - start_ns * hardware.ram_uw // 1_000_000_000


def gpu_uj(before: Record, after: Record, uuid: str) -> int:
    """Return the energy of one GPU between two records, in microjoules.

    It is 0 if the GPU's counter was not read in one of the records, or was reset between them.
    """
    a, b = before.counters.gpu_mj.get(uuid), after.counters.gpu_mj.get(uuid)
    return max(0, b - a) * 1000 if a is not None and b is not None else 0


def _zone_uj(hardware: Hardware, zone: str, before: Record, after: Record) -> int:
    """Return the increase of a RAPL zone's counter in microjoules, provided that it wrapped at most once."""
    a, b = before.counters.rapl_uj.get(zone), after.counters.rapl_uj.get(zone)
    limit = hardware.rapl_range_uj[zone]
    return (b - a) % limit if a is not None and b is not None and limit else 0


def _is_possible(energy_uj: int, elapsed_s: float) -> bool:
    """Return whether a zone can have used this energy; if not, its counter did not wrap but was reset."""
    return energy_uj <= ZONE_MAX_W * 1e6 * (elapsed_s + _RAPL_SLACK_S)


def _elapsed_s(counter: str, before: Record, after: Record, read_at: ReadAt | None) -> float:
    """Return the seconds between the last reading of a counter and the later record."""
    return (after.counters.t_ns - (read_at or {}).get(counter, before.counters.t_ns)) / 1e9


def node_uj(hardware: Hardware, before: Record, after: Record, read_at: ReadAt | None = None) -> int:
    """Return the energy of the whole node between two records, from its counters alone, in microjoules."""
    gpus = sum(gpu_uj(before, after, uuid) for uuid in hardware.gpus)
    start_ns, end_ns = before.counters.t_ns, after.counters.t_ns
    return cpu_uj(hardware, before, after, read_at) + memory_uj(hardware, start_ns, max(start_ns, end_ns)) + gpus


def interval_flags(hardware: Hardware, before: Record, after: Record, read_at: ReadAt | None = None) -> list[str]:
    """Return the flags of an interval: what is not known about its energy.

    Args:
        hardware: The node's hardware.
        before: The earlier record, in which a counter that could not be read keeps its previous value.
        after: The later record, as it was read.
        read_at: When each counter was last read.

    Returns:
        Keys of :data:`kdtune.energy.attribution.FLAGS`; one occurs several times if several devices have it.
    """
    a, b = before.counters, after.counters
    flags = ["cpu_time_reset"] if hardware.cpu_quality != "counter" and cpu_time_was_reset(a, b) else []
    for uuid in hardware.gpus:
        if uuid not in a.gpu_mj or uuid not in b.gpu_mj:
            flags.append("gpu_unread")
        elif b.gpu_mj[uuid] < a.gpu_mj[uuid]:
            flags.append("gpu_counter_reset")
        elif hardware.gpu_quality[uuid] == "polled" and _elapsed_s(uuid, before, after, read_at) > POLL_LATE_S:
            flags.append("poll_late")
    for zone, limit in hardware.rapl_range_uj.items():
        elapsed_s = _elapsed_s(zone, before, after, read_at)
        if zone not in a.rapl_uj or zone not in b.rapl_uj:
            flags.append("rapl_unread")
        elif not _is_possible(_zone_uj(hardware, zone, before, after), elapsed_s):
            flags.append("rapl_reset")
        elif elapsed_s * ZONE_MAX_W * 1e6 >= limit:
            flags.append("rapl_ambiguous")
    if after.window and after.kind == "open" and not after.window.gpus.keys() <= hardware.gpus.keys():
        flags.append("gpu_unmetered")
    if after.kind == "resume":
        flags.append("meter_restarted")
    if after.unknown_us > max(_NEGLIGIBLE_CPU_US, _NEGLIGIBLE_CPU_FRACTION * (b.t_ns - a.t_ns) / 1000):
        flags.append("worker_unknown")
    if any(state.others for state in after.neighbours):
        flags.append("node_shared")
    return flags
