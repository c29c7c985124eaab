"""Which streams are ours: those that names and globs match, and their partitions."""

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from os.path import commonprefix

from abe_redis.errors import InvalidNameError
from abe_redis.settings import globs
from abe_redis.streams.names import check_stream, is_dead_letters, partition, topic_of


class Patterns:
    """The streams that we consume and that agents may use: names, globs, and their partitions."""

    def __init__(self, patterns: Iterable[str], *, partitions: int = 1) -> None:
        """Create it.

        Args:
            patterns: Names and globs.
            partitions: Number of streams over which each topic is spread.
        """
        patterns = tuple(patterns)
        self.partitions = partitions
        self.globs = tuple(pattern for pattern in patterns if re.search(r"[*?\[\\]", pattern))
        """The patterns that need a search."""
        self.literals = tuple(pattern for pattern in patterns if pattern not in self.globs)
        """The patterns that name one stream."""
        self.names = self.literals
        """Streams that are known by name: the literals, and their partitions."""
        if partitions > 1:
            self.names += tuple(partition(topic, at) for topic in self.literals for at in range(partitions))
        self._expression = re.compile(
            "|".join(_glob_to_regex(glob) for glob in self.globs) or r"(?!)", re.DOTALL
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """Key patterns for an ACL user that cover all of these streams."""
        whole = (*self.literals, *self.globs)
        spread = [f"{name}:p*" for name in whole if not name.endswith("*")] if self.partitions > 1 else []
        return (*whole, *spread)

    @property
    def search(self) -> str | None:
        """A glob for SCAN that matches all of these streams; None when their names have nothing in common.

        The server checks the type of each key that the glob matches: without a glob, 33,000 keys block Redis
        7.0 for 100 ms, with one for 12.
        """
        begins = [_beginning(pattern) for pattern in (*self.literals, *self.globs)]
        begin = commonprefix(begins)  # noqa: RUF071 - a prefix of characters is meant
        return f"{begin}*" if begin else None

    def match(self, name: str) -> bool:
        """Whether `name` is one of these streams; our own keys and dead letters never are."""
        if name.startswith("abe:") or is_dead_letters(name):
            return False
        topic = topic_of(name)
        return self._matches(name) or (topic is not None and self._matches(topic))

    def _matches(self, name: str) -> bool:
        return name in self.literals or self._expression.fullmatch(name) is not None

    def __str__(self) -> str:
        return ", ".join((*self.literals, *self.globs))

    @property
    def with_partitions(self) -> str:
        """The same text with the partitions over which the topics are spread, if they are."""
        topics = [name for name in (*self.literals, *self.globs) if topic_of(name) is None]
        if self.partitions == 1 or not topics:
            return str(self)
        whose = "its" if len(topics) == 1 and not self.globs else "their"
        return f"{self} and {whose} partitions p0 to p{self.partitions - 1}"


class Narrowed(Patterns):
    """The streams that two sets of patterns both match."""

    def __init__(self, whole: Patterns, patterns: Iterable[str]) -> None:
        if isinstance(patterns, str) or not all(isinstance(one, str) for one in patterns):
            raise InvalidNameError(
                f"streams is {patterns!r}; it must be a list of names, as ['slack_events']."
            )
        patterns = tuple(patterns)
        for one in patterns:
            if flaw := globs.flaw(one):
                raise InvalidNameError(f"{one!r} is no name or pattern of streams: {flaw}.")
        super().__init__(patterns, partitions=whole.partitions)
        self._whole = whole

    def match(self, name: str) -> bool:
        """Whether both match the name."""
        return super().match(name) and self._whole.match(name)


def check_one_stream(name: str, what: str) -> str:
    """Refuse a name that reads like a pattern where events go to one stream.

    Args:
        name: The name.
        what: Who names it, as the beginning of the sentence.

    Raises:
        InvalidNameError: It does, or it is not allowed.
    """
    if re.search(r"[*?\[\]]", check_stream(name)):
        raise InvalidNameError(
            f"{what} {name!r} reads like a pattern, and an event goes to one stream: give its name, without "
            "*, ?, [ and ]."
        )
    return name


def narrowed(whole: Patterns, streams: Collection[str]) -> Patterns:
    """The patterns, restricted to the streams that these names and globs match; all without any.

    Raises:
        InvalidNameError: One of the names is not among them, so that nothing of it would ever be read.
    """
    if not streams:
        return whole
    found = Narrowed(whole, streams)
    for name in found.literals:
        if not found.match(check_stream(name)):
            raise InvalidNameError(
                f"The stream {name!r} is not among those that are read here: {whole} "
                "(REDIS_STREAM_PATTERNS). Correct the name, or add it there."
            )
    return found


def check_reach(whole: Patterns, streams: Collection[str]) -> None:
    """Refuse names and globs that can match none of these streams.

    Raises:
        InvalidNameError: One of them cannot.
    """
    begins = [_beginning(glob) for glob in whole.globs]
    for glob in narrowed(whole, streams).globs if streams else ():
        expression, begin = re.compile(_glob_to_regex(glob), re.DOTALL), _beginning(glob)
        if not any(map(expression.fullmatch, whole.names)) and not any(
            one.startswith(begin) or begin.startswith(one) for one in begins
        ):
            raise InvalidNameError(
                f"No stream that matches {glob!r} is among those that are read here: {whole} "
                "(REDIS_STREAM_PATTERNS). Correct the pattern, or add it there."
            )


def _beginning(glob: str) -> str:
    """The beginning that all names have which a glob matches."""
    return re.split(r"[*?\[\\]", glob)[0]


@lru_cache(maxsize=256)
def _glob_to_regex(glob: str) -> str:
    r"""Redis' own glob (`*`, `?`, `[a-z]`, `[^a]`, `\x`) as a regular expression."""
    out: list[str] = []
    position = 0
    while position < len(glob):
        char = glob[position]
        position += 1
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "\\" and position < len(glob):
            out.append(re.escape(glob[position]))
            position += 1
        elif char == "[" and (
            match := re.compile(r"(\^?)((?:\\.|[^\]\\])+)\]", re.DOTALL).match(glob, position)
        ):
            out.append(f"[{match[1]}{match[2].replace('[', r'\[').replace('^', r'\^')}]")
            position = match.end()
        else:
            out.append(re.escape(char))
    return f"(?:{''.join(out)})"
