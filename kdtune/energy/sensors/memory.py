"""The power of a machine's memory, for which there is no counter."""


def memory_uw() -> int:
    """The power that codecarbon's model gives the memory of the whole machine, in microwatts.

    Raises:
        ValueError: The model has no answer.
    """
    from codecarbon.external.ram import RAM

    power_uw = round(RAM(tracking_mode="machine").total_power().kW * 1e9)
    if not power_uw:  # codecarbon reports an error so
        raise ValueError("codecarbon has no model of its power")
    return power_uw
