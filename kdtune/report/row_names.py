"""Names of rows that several tables and figures share."""

from kdtune.specs.component import Component


def network_name(role: str, model: str) -> str:
    """Return the name of a network's row.

    Args:
        role: Such as ``teacher``.
        model: Name or reference of the network; the folders of a user's file are not shown.
    """
    return f"{role} ({Component(name=model).short_name})"
