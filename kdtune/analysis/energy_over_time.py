"""The energy that a strategy's own ledgers charge to it, as it grew over the metered time."""

from collections.abc import Mapping, Sequence

from kdtune.energy.ledger import Record
from kdtune.energy.running_account import RunningAccount

#: Seconds of metered time and the energy in microjoules that was charged until then.
Curve = list[tuple[float, int]]


def charged_over_time(nodes: Mapping[str, Sequence[Record]], *, dedicated: bool) -> Curve:
    """Return the growth of the charge; its last value is the charge of all ledgers. Shared inputs are not included.

    Args:
        nodes: Records of each node, in the order of time.
        dedicated: Whether idle energy is charged.
    """
    curves = [_of_node(records, dedicated=dedicated) for records in nodes.values()]
    if len(curves) == 1:
        return curves[0]
    times = sorted({second for curve in curves for second, _ in curve})
    return [(second, sum(_until(curve, second) for curve in curves)) for second in times]


def _of_node(records: Sequence[Record], *, dedicated: bool) -> Curve:
    ledger, seen = RunningAccount(), []
    for record in records:
        ledger.add(record)
        account = ledger.account
        seen.append((account.duration_ns / 1e9, account.charged_uj(dedicated=dedicated), dict(account.unheld_uj)))
    # The idle energy of GPUs that turn out to be unused is not charged.
    unused = ledger.account.unused_gpus if dedicated else set()
    return [(second, uj - sum(unheld.get(gpu, 0) for gpu in unused)) for second, uj, unheld in seen]


def _until(curve: Curve, second: float) -> int:
    return next((uj for at, uj in reversed(curve) if at <= second), 0)
