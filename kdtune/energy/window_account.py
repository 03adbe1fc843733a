"""What a node used while one window was open, and whose that was."""

from collections.abc import Sequence
from dataclasses import replace

from kdtune.energy.attribution import Account, OpenLedger
from kdtune.energy.ledger import Record


def account_of(records: Sequence[Record], window_id: str) -> Account:
    """The account of the time in which a window was open: its own energy, and all that was used beside it.

    Args:
        records: Of a node's ledger, in the order of time; other meters may have written into the same file.
        window_id: The window.

    Raises:
        ValueError: It was not opened and closed in this ledger.
    """
    edges = [place for place, record in enumerate(records) if record.window and record.window.id == window_id]
    if [records[place].kind for place in edges] != ["open", "close"]:
        raise ValueError(f"window {window_id!r} was not opened and closed once in this ledger")
    first, last = edges
    # Who else was there before it is no matter of the window's.
    opening = replace(records[first], neighbours=())
    by_meter = [record for record in records[: last + 1] if record.meter == opening.meter]
    hardware = next(record.hardware for record in reversed(by_meter) if record.hardware)
    ledger = OpenLedger()
    ledger.add(replace(opening, kind="start", window=None, windows={}, hardware=hardware))
    ledger.add(opening)
    for record in records[first + 1 : last + 1]:
        if record.meter == opening.meter:
            ledger.add(record)
    return ledger.account.without_unused_gpus()
