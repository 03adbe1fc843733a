"""The account of several nodes together, with the checks that need all their ledgers at once."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from kdtune.energy.attribution import Account
from kdtune.energy.ledger import Record
from kdtune.energy.running_account import account_with_unused_gpus

Span = tuple[Record, Record]
"""The first and the last record of an uninterrupted time in which a node was metered."""


def account_of_nodes(records_by_node: Mapping[str, Sequence[Record]]) -> Account:
    """Return the account of several nodes together.

    Args:
        records_by_node: Records of each node that has a ledger, in the order of time, by the node's name.

    Returns:
        The sum of the nodes' accounts. It has the flag ``node_unread`` for each metered node without a ledger, and
        ``machine_counted_twice`` if several nodes turn out to be one machine.
    """
    total = Account()
    accounts = [account_with_unused_gpus(records) for records in records_by_node.values()]
    for account in accounts:
        uses_others = any(other.held_gpus for other in accounts if other is not account)
        total.merge(account.without_unused_gpus(uses_others=uses_others))
    spans = [span for records in records_by_node.values() for span in _spans(records)]
    if len(records_by_node) > 1:
        total.duration_ns = _covered_ns(_since_1970(*span) for span in spans)
        if _overlap_on_one_machine(spans):
            total.flag("machine_counted_twice")
    metered = {node for records in records_by_node.values() for record in records for node in record.nodes}
    for _ in metered - records_by_node.keys():
        total.flag("node_unread")
    return total


def _overlap_on_one_machine(spans: Iterable[Span]) -> bool:
    """Return whether meters of several nodes counted one machine at the same time.

    All containers of a machine have the same boot id and monotonic clock.
    """
    by_boot: dict[str, list[tuple[int, int]]] = {}
    for first, last in spans:
        by_boot.setdefault(first.counters.boot_id, []).append((first.counters.t_ns, last.counters.t_ns))
    return any(_covered_ns(times) < sum(end - start for start, end in times) for times in by_boot.values())


def _spans(records: Sequence[Record]) -> Iterable[Span]:
    """Yield the first and the last record of each uninterrupted time in which a node was metered."""
    start: Record | None = None
    for before, record in pairwise(records):
        start = start or before
        if record.kind in ("start", "stop"):
            last = record if record.kind == "stop" else before
            yield start, last
            start = record if record.kind == "start" else None
    if start and records[-1].kind != "stop":
        yield start, records[-1]


def _since_1970(first: Record, last: Record) -> tuple[int, int]:
    """Return start and end of a span in nanoseconds since 1970, the only clock that machines have in common."""
    began_ns = round(first.counters.wall_s * 1e9)
    return began_ns, began_ns + last.counters.t_ns - first.counters.t_ns


def _covered_ns(spans: Iterable[tuple[int, int]]) -> int:
    """Return the nanoseconds that are covered by at least one of several spans."""
    covered, until = 0, 0
    for start, end in sorted(spans):
        covered += max(0, end - max(start, until))
        until = max(until, end)
    return covered
