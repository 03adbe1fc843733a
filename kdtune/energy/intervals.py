"""What a node used between two records, from its counters alone."""

from collections.abc import Mapping

from kdtune.energy.ledger import Record
from kdtune.energy.sensors.busy_time import STEP_US
from kdtune.energy.sensors.node import Counters, Hardware

#: A RAPL zone that drew this much, in watts, could have wrapped; no socket of today draws more.
ZONE_MAX_W = 1000

#: Seconds between two readings after which polled power says little about what was in between.
POLL_LATE_S = 5.0


#: CPU time, in microseconds and as a part of the interval, up to which workers only wait or do Ray's own work.
_AT_WORK_US, _AT_WORK = 50_000, 0.1

ReadAt = Mapping[str, int]
"""When each counter, by its zone or UUID, was last read, in nanoseconds; the record before unless it says so."""

#: RAPL counters move in steps of a millisecond or more, so a very short interval may hold the energy of a longer one.
_RAPL_SLACK_S = 1.0


def cpu_uj(hardware: Hardware, before: Record, after: Record, read_at: ReadAt | None = None) -> int:
    """Energy of the CPU between two records, in microjoules.

    RAPL where it is readable, a counter that wrapped once put right; nothing where it started anew. Else a linear
    model, design power times busy cores: the figure of a busy second then does not depend on what ran beside it.
    """
    a, b = before.counters, after.counters
    if hardware.cpu_quality == "counter":
        moved = {zone: _zone_uj(hardware, zone, before, after) for zone in hardware.rapl_range_uj}
        return sum(uj for zone, uj in moved.items() if _is_possible(uj, _elapsed_s(zone, before, after, read_at)))

    def so_far(busy_us: int) -> int:
        return busy_us * hardware.tdp_uw // (hardware.cores * 1_000_000)

    return max(0, so_far(b.busy_us) - so_far(a.busy_us))


def cpu_time_began_anew(before: Counters, after: Counters) -> bool:
    """Whether the node's count of busy CPU time fell by more than a step."""
    return after.busy_us < before.busy_us - STEP_US


def memory_uj(hardware: Hardware, start_ns: int, end_ns: int) -> int:
    """Energy of the memory between two moments: modelled power times time, in microjoules."""
    return end_ns * hardware.ram_uw // 1_000_000_000 - start_ns * hardware.ram_uw // 1_000_000_000


def gpu_uj(before: Record, after: Record, uuid: str) -> int:
    """Energy of one GPU between two records, in microjoules; 0 where its counter was not read or started anew."""
    a, b = before.counters.gpu_mj.get(uuid), after.counters.gpu_mj.get(uuid)
    return max(0, b - a) * 1000 if a is not None and b is not None else 0


def _zone_uj(hardware: Hardware, zone: str, before: Record, after: Record) -> int:
    """How far a RAPL zone's counter moved on, in microjoules, if it wrapped at most once."""
    a, b = before.counters.rapl_uj.get(zone), after.counters.rapl_uj.get(zone)
    limit = hardware.rapl_range_uj[zone]
    return (b - a) % limit if a is not None and b is not None and limit else 0


def _is_possible(energy_uj: int, elapsed_s: float) -> bool:
    """Whether a zone may have used so much; if not, its counter did not wrap but start anew."""
    return energy_uj <= ZONE_MAX_W * 1e6 * (elapsed_s + _RAPL_SLACK_S)


def _elapsed_s(counter: str, before: Record, after: Record, read_at: ReadAt | None) -> float:
    """Seconds since a counter was last read."""
    return (after.counters.t_ns - (read_at or {}).get(counter, before.counters.t_ns)) / 1e9


def node_uj(hardware: Hardware, before: Record, after: Record, read_at: ReadAt | None = None) -> int:
    """Energy of the whole node between two records, from its counters alone, in microjoules."""
    gpus = sum(gpu_uj(before, after, uuid) for uuid in hardware.gpus)
    start_ns, end_ns = before.counters.t_ns, after.counters.t_ns
    return cpu_uj(hardware, before, after, read_at) + memory_uj(hardware, start_ns, max(start_ns, end_ns)) + gpus


def found_odd(hardware: Hardware, before: Record, after: Record, read_at: ReadAt | None = None) -> list[str]:
    """What cannot be known of an interval, as names of :data:`kdtune.energy.attribution.FLAGS`.

    Args:
        hardware: Of the node.
        before: The earlier record, counters that could not be read standing where they stood.
        after: The later one, as it was read.
        read_at: When each counter was last read.
    """
    a, b = before.counters, after.counters
    odd = ["cpu_time_reset"] if hardware.cpu_quality != "counter" and cpu_time_began_anew(a, b) else []
    for uuid in hardware.gpus:
        if uuid not in a.gpu_mj or uuid not in b.gpu_mj:
            odd.append("gpu_unread")
        elif b.gpu_mj[uuid] < a.gpu_mj[uuid]:
            odd.append("gpu_counter_reset")
        elif hardware.gpu_quality[uuid] == "polled" and _elapsed_s(uuid, before, after, read_at) > POLL_LATE_S:
            odd.append("poll_late")
    for zone, limit in hardware.rapl_range_uj.items():
        elapsed_s = _elapsed_s(zone, before, after, read_at)
        if zone not in a.rapl_uj or zone not in b.rapl_uj:
            odd.append("rapl_unread")
        elif not _is_possible(_zone_uj(hardware, zone, before, after), elapsed_s):
            odd.append("rapl_reset")
        elif elapsed_s * ZONE_MAX_W * 1e6 >= limit:
            odd.append("rapl_ambiguous")
    if after.window and after.kind == "open" and not after.window.gpus.keys() <= hardware.gpus.keys():
        odd.append("gpu_unmetered")
    if after.kind == "resume":
        odd.append("meter_restarted")
    if after.unknown_us > max(_AT_WORK_US, _AT_WORK * (b.t_ns - a.t_ns) / 1000):
        odd.append("worker_unknown")
    if any(state.others for state in after.neighbours):
        odd.append("node_shared")
    return odd
