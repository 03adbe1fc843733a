"""Power of a machine's memory, which has no energy counter."""


def memory_uw() -> int:
    """Return the power of the whole machine's memory according to codecarbon's model, in microwatts.

    Raises:
        ValueError: The model gives no power.
    """
    from codecarbon.external.ram import RAM

    power_uw = round(RAM(tracking_mode="machine").total_power().kW * 1e9)
    if not power_uw:  # codecarbon returns 0 for an error
        raise ValueError("codecarbon has no model of the memory's power")
    return power_uw
