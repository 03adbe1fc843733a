"""What a node used between two records, from its counters alone."""

from kdtune.energy.ledger import Record
from kdtune.energy.sensors import Hardware

#: A RAPL zone that drew this much, in watts, could have wrapped; no socket of today draws more.
ZONE_MAX_W = 1000

#: Seconds between two readings after which polled power says little about what was in between.
POLL_LATE_S = 5.0


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


def memory_uj(hardware: Hardware, start_ns: int, end_ns: int) -> int:
    """Energy of the memory between two moments: modelled power times time, in microjoules."""
    return end_ns * hardware.ram_uw // 1_000_000_000 - start_ns * hardware.ram_uw // 1_000_000_000


def gpu_uj(before: Record, after: Record, uuid: str) -> int:
    """Energy of one GPU between two records, in microjoules; 0 where its counter was not read or started anew."""
    a, b = before.counters.gpu_mj.get(uuid), after.counters.gpu_mj.get(uuid)
    return max(0, b - a) * 1000 if a is not None and b is not None else 0


def node_uj(hardware: Hardware, before: Record, after: Record) -> int:
    """Energy of the whole node between two records, from its counters alone, in microjoules."""
    gpus = sum(gpu_uj(before, after, uuid) for uuid in hardware.gpus)
    start_ns, end_ns = before.counters.t_ns, after.counters.t_ns
    return cpu_uj(hardware, before, after) + memory_uj(hardware, start_ns, max(start_ns, end_ns)) + gpus


def found_odd(hardware: Hardware, before: Record, after: Record) -> list[str]:
    """What cannot be known of an interval, as names of :data:`kdtune.energy.attribution.FLAGS`."""
    a, b = before.counters, after.counters
    elapsed_s = (b.t_ns - a.t_ns) / 1e9
    odd = []
    for uuid in hardware.gpus:
        if uuid not in a.gpu_mj or uuid not in b.gpu_mj:
            odd.append("gpu_unread")
        elif b.gpu_mj[uuid] < a.gpu_mj[uuid]:
            odd.append("gpu_counter_reset")
        elif hardware.gpu_quality[uuid] == "polled" and elapsed_s > POLL_LATE_S:
            odd.append("poll_late")
    if any(elapsed_s * ZONE_MAX_W * 1e6 >= limit for limit in hardware.rapl_range_uj.values()):
        odd.append("rapl_ambiguous")
    if after.window and after.kind == "open" and not after.window.gpus.keys() <= hardware.gpus.keys():
        odd.append("gpu_unmetered")
    if after.kind == "resume":
        odd.append("meter_restarted")
    if any(state.others for state in after.neighbours):
        odd.append("node_shared")
    return odd
