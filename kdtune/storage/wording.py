"""Numbers with their nouns in messages."""


def counted(count: float, noun: str, plural: str | None = None, *, separated: bool = False) -> str:
    """Return a number with its noun: ``1 epoch``, ``3 epochs``, ``2 studies``.

    Args:
        count: The number.
        noun: Its singular, which may be several words: ``training image``.
        plural: Its plural; by default the singular with ``s``, or with ``ies`` in place of a final ``y`` after a
            consonant.
        separated: Whether thousands are separated by commas.
    """
    if plural is None:
        ends_in_y = noun.endswith("y") and noun[-2:-1] not in "aeiou"
        plural = f"{noun[:-1]}ies" if ends_in_y else f"{noun}s"
    number = f"{count:,}" if separated else f"{count:.12g}"
    return f"{number} {noun if count == 1 else plural}"
