"""Split the energy of one interval between windows and buckets, by CPU time and by Ray's allocation.

All arithmetic uses integers, so the parts always sum exactly to the energy that was split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kdtune.energy.intervals import memory_uj
from kdtune.energy.ledger import Record, Window
from kdtune.energy.neighbours import Neighbours
from kdtune.energy.sensors.node import Hardware

BUCKETS = ("trials", "evaluation", "orchestration", "idle", "other")

#: Shares of cores and GPUs are converted to integer thousandths, so that splitting by them is exact.
_MILLI = 1000


def split_integer(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split an integer into integers in proportion to weights, by the largest-remainder method.

    Args:
        total: The integer to split, at least 0.
        weights: Integer weights, at least 0 each; not all 0 unless ``total`` is 0.

    Returns:
        The share of each key; the shares sum to ``total``. Between equal remainders the first key comes first.

    Raises:
        ValueError: All weights are 0 and ``total`` is not.
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


def held_milli(windows: Sequence[Window]) -> tuple[int, dict[str, int]]:
    """Return what windows hold: thousandths of cores, and thousandths of each GPU by UUID."""
    gpus: dict[str, int] = {}
    for window in windows:
        for uuid, share in window.gpus.items():
            gpus[uuid] = gpus.get(uuid, 0) + gpu_milli(share)
    return sum(round(window.cpus * _MILLI) for window in windows), gpus


def gpu_milli(share: float) -> int:
    """Return a share of a GPU in thousandths, at least 1."""
    return max(1, round(share * _MILLI))


@dataclass(frozen=True)
class Piece:
    """A part of an interval during which the resources held by other studies did not change.

    Attributes:
        start_ns: Start on the monotonic clock, in nanoseconds.
        end_ns: End, in nanoseconds.
        neighbours: What the other studies held.
    """

    start_ns: int
    end_ns: int
    neighbours: Neighbours = field(default_factory=lambda: Neighbours(0, 0))

    @property
    def length_ns(self) -> int:
        """Duration in nanoseconds."""
        return self.end_ns - self.start_ns


def pieces_of(start_ns: int, end_ns: int, neighbours: Sequence[Neighbours]) -> list[Piece]:
    """Divide an interval at the moments when the resources held by other studies change.

    Args:
        start_ns: Start of the interval, in nanoseconds.
        end_ns: End of the interval, in nanoseconds.
        neighbours: States of the other studies, oldest first; empty if there were none.

    Returns:
        The pieces in order; a single one if there were no other studies.
    """
    if not neighbours:
        return [Piece(start_ns, max(start_ns, end_ns))]
    cuts = [min(max(state.t_ns, start_ns), max(start_ns, end_ns)) for state in neighbours]
    cuts[0] = start_ns
    ends = [*cuts[1:], max(start_ns, end_ns)]
    return [Piece(a, max(a, b), state) for a, b, state in zip(cuts, ends, neighbours, strict=True)]


def split_cpu(
    energy: int, windows: Sequence[Window], before: Record, after: Record, pieces: Sequence[Piece]
) -> dict[str, int]:
    """Split CPU energy by the CPU time of the windows, the study's other processes and all other processes.

    If no process used CPU time, the energy is idle and is shared with the other studies.

    Args:
        energy: CPU energy of the interval, in microjoules.
        windows: Windows that are open during the interval.
        before: The record at the start of the interval.
        after: The record at its end.
        pieces: The interval, divided by :func:`pieces_of`.

    Returns:
        Microjoules by window id and by bucket (``orchestration``, ``other``, ``idle``).
    """
    spent = {w.id: max(0, after.windows.get(w.id, 0) - before.windows.get(w.id, 0)) for w in windows}
    in_windows = sum(spent.values())
    of_study = max(in_windows, after.study_us - before.study_us)
    busy = max(of_study, after.counters.busy_us - before.counters.busy_us)
    if not busy:
        return _sum_of([_share_idle(part, piece.neighbours) for part, piece in _split_by_time(energy, pieces)])
    return split_integer(energy, {**spent, "orchestration": of_study - in_windows, "other": busy - of_study})


def split_gpu(energy: int, uuid: str, windows: Sequence[Window], pieces: Sequence[Piece]) -> dict[str, int]:
    """Split the energy of one GPU by Ray's allocation, assuming constant power during the interval.

    While neither a window nor another study holds the GPU, its energy is idle and is shared with the other studies.

    Args:
        energy: Energy of the GPU in the interval, in microjoules.
        uuid: UUID of the GPU.
        windows: Windows that are open during the interval.
        pieces: The interval, divided by :func:`pieces_of`.

    Returns:
        Microjoules by window id and by bucket (``other``, ``idle``).
    """
    own = {window.id: gpu_milli(window.gpus[uuid]) for window in windows if uuid in window.gpus}
    charges = []
    for part, piece in _split_by_time(energy, pieces):
        theirs = piece.neighbours.gpus_milli.get(uuid, 0)
        held = own or theirs
        charges.append(split_integer(part, {**own, "other": theirs}) if held else _share_idle(part, piece.neighbours))
    return _sum_of(charges)


def _split_by_time(energy: int, pieces: Sequence[Piece]) -> list[tuple[int, Piece]]:
    """Split energy between pieces in proportion to their durations; if all are 0, the last piece gets all of it."""
    lengths = {str(place): piece.length_ns for place, piece in enumerate(pieces)}
    if not any(lengths.values()):
        lengths[str(len(pieces) - 1)] = 1
    parts = split_integer(energy, lengths)
    return [(parts[str(place)], piece) for place, piece in enumerate(pieces)]


def _sum_of(charges: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for charge in charges:
        for name, energy in charge.items():
            total[name] = total.get(name, 0) + energy
    return total


def split_memory(hardware: Hardware, windows: Sequence[Window], piece: Piece) -> dict[str, int]:
    """Split the memory's energy by the cores that Ray allocated.

    The share of cores that nothing holds is idle and is shared with the other studies.

    Args:
        hardware: The node's hardware.
        windows: Windows that are open during the piece.
        piece: The part of the interval whose memory energy is split.

    Returns:
        Microjoules by window id and by bucket (``idle``, ``other``).
    """
    held = {window.id: round(window.cpus * _MILLI) for window in windows}
    theirs = piece.neighbours.cpus_milli
    free = max(0, hardware.cores * _MILLI - sum(held.values()) - theirs)
    energy = memory_uj(hardware, piece.start_ns, piece.end_ns)
    charges = split_integer(energy, {**held, "idle": free, "other": theirs})
    unused = _share_idle(charges["idle"], piece.neighbours)
    return {**charges, "idle": unused["idle"], "other": charges["other"] + unused["other"]}


def _share_idle(amount_uj: int, neighbours: Neighbours) -> dict[str, int]:
    """Split idle energy evenly between the studies on a node.

    Microjoules that cannot be divided go to the studies that come first in the order of their meters' ids, so the
    ledgers of all studies together count each microjoule once.
    """
    whole, rest = divmod(amount_uj, neighbours.others + 1)
    own = whole + (neighbours.before < rest)
    return {"idle": own, "other": amount_uj - own}
