"""Whether a pattern of stream names is whole."""


def flaw(pattern: str) -> str:
    """What is wrong with a pattern that matches nothing but its own letters; empty if it is whole."""
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            if at + 1 == len(pattern):
                return "nothing stands behind its last backslash"
            at += 1
        elif pattern[at] == "[":
            at = _end_of_class(pattern, at + 1)
            if at < 0:
                return "a [ of it has no ] behind some letters, as in [ab]"
        at += 1
    return ""


def _end_of_class(pattern: str, begin: int) -> int:
    """Where the ] of a [ is, behind at least one letter; -1 if it is nowhere."""
    at = begin + pattern.startswith("^", begin)
    begin = at
    while at < len(pattern):
        if pattern[at] == "]":
            return at if at > begin else -1
        at += 2 if pattern[at] == "\\" else 1
    return -1
