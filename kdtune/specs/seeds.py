"""Seeds of independent random streams, derived from one seed and a name."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed for one purpose, such as ``derive_seed(seed, "order", epoch)``.

    Streams with different names are independent, so additional draws from one (such as the temperature) do not change
    another (such as the order of the images). Seeds are the same on every machine and version of Python.
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
