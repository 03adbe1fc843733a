"""The account of a single window: the energy of a node while the window was open."""

from collections.abc import Sequence
from dataclasses import replace

from kdtune.energy.attribution import Account
from kdtune.energy.ledger import Record
from kdtune.energy.running_account import RunningAccount


def account_of(records: Sequence[Record], window_id: str) -> Account:
    """Return the account of the time during which a window was open.

    Args:
        records: Records of the node's ledger in the order of time; other meters may have written to the same file.
        window_id: Id of the window.

    Returns:
        The account of the whole node during that time; the window's own energy is in ``windows``.

    Raises:
        ValueError: The window was not opened and closed exactly once in this ledger.
    """
    edges = [place for place, record in enumerate(records) if record.window and record.window.id == window_id]
    if [records[place].kind for place in edges] != ["open", "close"]:
        raise ValueError(f"window {window_id!r} was not opened and closed exactly once in this ledger")
    first, last = edges
    # The neighbours in the opening record describe the time before the window.
    opening = replace(records[first], neighbours=())
    by_meter = [record for record in records[: last + 1] if record.meter == opening.meter]
    hardware = next(record.hardware for record in reversed(by_meter) if record.hardware)
    ledger = RunningAccount()
    ledger.add(replace(opening, kind="start", window=None, windows={}, hardware=hardware))
    ledger.add(opening)
    for record in records[first + 1 : last + 1]:
        if record.meter == opening.meter:
            ledger.add(record)
    return ledger.account.without_unused_gpus()
