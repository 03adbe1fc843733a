"""Seeds for independent streams, derived from one seed and a name."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed for one purpose, such as ``derive_seed(seed, "order", epoch)``.

    Streams that are named apart are independent, so that drawing more from one (a temperature, say)
    never moves another (the order of the images). The same on every machine and version of Python.
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
