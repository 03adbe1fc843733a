"""Who is charged for what an interval used: by CPU time, by Ray's allocation, and exactly, in integers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kdtune.energy.intervals import memory_uj
from kdtune.energy.ledger import Record, Window
from kdtune.energy.neighbours import Neighbours
from kdtune.energy.sensors.node import Hardware

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


def held_milli(windows: Sequence[Window]) -> tuple[int, dict[str, int]]:
    """What windows hold: thousandths of cores, and of each GPU by its UUID."""
    gpus: dict[str, int] = {}
    for window in windows:
        for uuid, share in window.gpus.items():
            gpus[uuid] = gpus.get(uuid, 0) + gpu_milli(share)
    return sum(round(window.cpus * _MILLI) for window in windows), gpus


def gpu_milli(share: float) -> int:
    """A GPU's share in thousandths; a share is never nothing."""
    return max(1, round(share * _MILLI))


@dataclass(frozen=True)
class Piece:
    """Part of an interval in which other studies held the same all the time.

    Attributes:
        start_ns: Its beginning.
        end_ns: Its end.
        there: What they held.
    """

    start_ns: int
    end_ns: int
    there: Neighbours = field(default_factory=lambda: Neighbours(0, 0))

    @property
    def length_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.start_ns


def pieces_of(start_ns: int, end_ns: int, neighbours: Sequence[Neighbours]) -> list[Piece]:
    """Cut an interval where what other studies hold changes; one piece where there are none."""
    if not neighbours:
        return [Piece(start_ns, max(start_ns, end_ns))]
    cuts = [min(max(state.t_ns, start_ns), max(start_ns, end_ns)) for state in neighbours]
    cuts[0] = start_ns
    ends = [*cuts[1:], max(start_ns, end_ns)]
    return [Piece(a, max(a, b), state) for a, b, state in zip(cuts, ends, neighbours, strict=True)]


def split_cpu(
    energy: int, windows: Sequence[Window], before: Record, after: Record, pieces: Sequence[Piece]
) -> dict[str, int]:
    """The CPU's energy by CPU time: windows, the study's other processes, everybody else.

    If nobody worked it is idle, and shared with other studies.
    """
    spent = {w.id: max(0, after.windows.get(w.id, 0) - before.windows.get(w.id, 0)) for w in windows}
    in_windows = sum(spent.values())
    of_study = max(in_windows, after.study_us - before.study_us)
    busy = max(of_study, after.counters.busy_us - before.counters.busy_us)
    if not busy:
        return _add([_share_idle(part, piece.there) for part, piece in _over_time(energy, pieces)])
    return split_integer(energy, {**spent, "orchestration": of_study - in_windows, "other": busy - of_study})


def split_gpu(energy: int, uuid: str, windows: Sequence[Window], pieces: Sequence[Piece]) -> dict[str, int]:
    """A GPU's energy by Ray's allocation, its power taken as constant; while nobody holds it, it is idle and shared."""
    mine = {window.id: gpu_milli(window.gpus[uuid]) for window in windows if uuid in window.gpus}
    charges = []
    for part, piece in _over_time(energy, pieces):
        theirs = piece.there.gpus_milli.get(uuid, 0)
        held = mine or theirs
        charges.append(split_integer(part, {**mine, "other": theirs}) if held else _share_idle(part, piece.there))
    return _add(charges)


def _over_time(energy: int, pieces: Sequence[Piece]) -> list[tuple[int, Piece]]:
    """Energy by piece, in proportion to their lengths; in no time at all it is the last one's."""
    lengths = {str(place): piece.length_ns for place, piece in enumerate(pieces)}
    if not any(lengths.values()):
        lengths[str(len(pieces) - 1)] = 1
    parts = split_integer(energy, lengths)
    return [(parts[str(place)], piece) for place, piece in enumerate(pieces)]


def _add(charges: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for charge in charges:
        for name, energy in charge.items():
            total[name] = total.get(name, 0) + energy
    return total


def split_memory(hardware: Hardware, windows: Sequence[Window], piece: Piece) -> dict[str, int]:
    """The memory's energy by the cores that were given; what nobody holds is idle and shared with other studies."""
    held = {window.id: round(window.cpus * _MILLI) for window in windows}
    theirs = piece.there.cpus_milli
    free = max(0, hardware.cores * _MILLI - sum(held.values()) - theirs)
    energy = memory_uj(hardware, piece.start_ns, piece.end_ns)
    charges = split_integer(energy, {**held, "idle": free, "other": theirs})
    unused = _share_idle(charges["idle"], piece.there)
    return {**charges, "idle": unused["idle"], "other": charges["other"] + unused["other"]}


def _share_idle(amount: int, there: Neighbours) -> dict[str, int]:
    """Split evenly what nobody uses among the studies of a node, in integers, in the order of their meters."""
    whole, rest = divmod(amount, there.others + 1)
    own = whole + (there.before < rest)
    return {"idle": own, "other": amount - own}
