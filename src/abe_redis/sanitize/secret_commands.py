"""Secrets that are known by the command whose arguments they are: `curl -u`, `mysql -p`, `--token`."""

from collections.abc import Iterator

from abe_redis.sanitize.deferred import deferred
from abe_redis.sanitize.secret_names import PLACEHOLDER

_COMMAND = deferred(
    r"(?<![\w-])(?:-u|-U|--user|--proxy-user)[ =]{0,2}(?:\\?\n[ \t]{0,20})?(?P<quote>[\"']?)"
    r"(?P<user>[^\s\"':]{0,200}:)"
    r"(?P<value>[^\s\"']++|(?<=[\"'])[^\"'\n]++)"
    r"|(?<![\w-])--?(?:[a-z]{1,20}-){0,3}(?:password|passwd|pass|token|secret|api-?key|auth|bearer|access-?key|secret-?key)"
    r"\s{1,4}[\"']?(?P<option>[^\s\"'<>|-][^\s\"'<>|]{3,}+)"
    r"|identified\s{1,4}(?:with\s{1,4}\S{1,40}\s{1,4})?by\s{1,4}[\"'](?P<by>[^\"'\n]++)"
    r"|(?:encrypted|with)\s{1,4}password\s{1,4}[\"'](?P<sql>[^\"'\n]++)"
    r"|type\s{0,2}=\s{0,2}[\"']?password[\"']?[^<>\n]{0,200}?value\s{0,2}=\s{0,2}[\"']?(?P<input>[^\s\"'<>]++)"
    r"|login\s{1,8}\S{1,200}\s{1,8}password\s{1,8}(?P<netrc>\S++)"
    r"|(?:requirepass|masterauth)\s{1,4}[\"']?(?P<conf>[^\s\"']++)"
    r"|sshpass\s{1,4}-p\s{0,4}[\"']?(?P<ssh>[^\s\"']++)"
    r"|redis-cli[^\n]{0,200}?\s-a\s{1,4}[\"']?(?P<redis>[^\s\"']++)"
    r"|(?:docker|podman|az|oc|helm\s{1,4}registry)\s{1,4}login[^\n]{0,200}?\s-p\s{1,4}[\"']?(?P<docker>[^\s\"']++)"
    r"|mysql[^\n]{0,200}?\s-p[\"']?(?P<mysql>[^\s\"']{3,}+)"
    r"|variable\s{1,4}\\?\"[\w-]{0,40}(?:passw|secret|token|key)[\w-]{0,40}\\?\"\s{0,4}\{[^{}]{0,200}?"
    r"\bdefault\s{0,4}=\s{0,4}\\?\"(?P<variable>[^\"\n\\]++)",
)
_WORDS = ("-", "pass", "identified", "masterauth", "variable")
"""Each of the commands above contains one of these."""
_PROGRAM = deferred(r"curl|wget|http|fetch|xh\b")
_BACK = 400
"""Characters before an option in which its program's name stands."""


def found_in_commands(text: str, small: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets. `small` is the text, `folded`."""
    if not any(word in small for word in _WORDS):
        return
    for match in _COMMAND.finditer(small):
        group = match.lastgroup or ""
        start, end = match.span(group)
        if group == "value":
            if _PROGRAM.search(small, max(0, match.start() - _BACK), match.start()):
                yield match.start("user"), end
        elif not PLACEHOLDER.match(text, start, end) and not (group == "option" and match[group].isalpha()):
            yield start, end
