"""Entry ids: their order, and the one before."""


def order(entry_id: str | bytes) -> tuple[int, int]:
    """What to compare ids by; a time alone is the first id of its millisecond."""
    text = entry_id if isinstance(entry_id, str) else entry_id.decode()
    milliseconds, _, sequence = text.partition("-")
    return int(milliseconds), int(sequence or 0)


def before(entry_id: str) -> str:
    """The last id before another; `0-0`, which no entry has, before the first."""
    milliseconds, sequence = order(entry_id)
    if sequence:
        return f"{milliseconds}-{sequence - 1}"
    return f"{milliseconds - 1}-{2**64 - 1}" if milliseconds else "0-0"
