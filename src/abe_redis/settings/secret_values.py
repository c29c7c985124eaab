"""Secrets as people keep them: a line feed at the end, as of a file, is none of their characters."""

import re
from collections.abc import Callable

from pydantic import AfterValidator, SecretStr

_PRINTABLE, _TOKEN = re.compile(r"[ -~]*"), re.compile(r"[!-~]*")


def _without_line_end(value: SecretStr | str | None) -> SecretStr | str | None:
    """A password or a user name, which may end with blanks; as for what REDIS_PASSWORD_FILE names."""
    return (
        SecretStr(_cut(value.get_secret_value())) if isinstance(value, SecretStr) else value and _cut(value)
    )


def _cut(text: str) -> str:
    return text.rstrip("\r\n")


def _printable(allowed: re.Pattern[str], what: str) -> Callable[[SecretStr | None], SecretStr | None]:
    def checked(value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value().strip() if value else ""
        if not allowed.fullmatch(text):
            raise ValueError(f"it should hold printable ASCII characters alone, {what}; copy it anew")
        return SecretStr(text) if value else None

    return checked


LINE = AfterValidator(_without_line_end)
TOKEN = AfterValidator(_printable(_TOKEN, "and no blank"))
PRINTABLE = AfterValidator(_printable(_PRINTABLE, "without the end of a line in it"))
