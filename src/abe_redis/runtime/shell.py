"""Names in commands that a sentence offers."""

import shlex


def quoted(name: str) -> str:
    """A name quoted for a shell, without characters that control a terminal."""
    if name.isprintable():
        return shlex.quote(name)
    escaped = "".join(chr(byte) if chr(byte).isalnum() else f"\\x{byte:02x}" for byte in name.encode())
    return f"$'{escaped}'"
