"""Names in commands that a sentence offers."""

import shlex


def quoted(name: str) -> str:
    """A name quoted for a shell, without characters that control a terminal."""
    if name.isprintable():
        return shlex.quote(name)
    escaped = "".join(chr(byte) if chr(byte).isalnum() else f"\\x{byte:02x}" for byte in name.encode())
    return f"$'{escaped}'"


def command(words: str, *names: str, options: str = "") -> str:
    """One of our commands with the names that it is given; one such as `--force` is not taken for an option.

    Args:
        words: The command's own, as in `group remove`.
        names: Its arguments.
        options: Its options, quoted.
    """
    given = " ".join(map(quoted, names))
    parts = [options, "--", given] if any(name.startswith("-") for name in names) else [given, options]
    return " ".join(filter(None, ["abe-redis", words, *parts]))


def option(name: str, value: str) -> str:
    """An option with its value."""
    return f"{name}{'=' if value.startswith('-') else ' '}{quoted(value)}"
