"""Numbers of lines: ranges as --skip-lines has them, and where to continue after a failure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from abe_redis.schemas import PublishLinesResult


@dataclass(frozen=True, slots=True)
class LineRanges:
    """Some lines of a file, as ranges in ascending order with a gap between each two."""

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a list such as `22-40,45`.

        Raises:
            ValueError: It is none.
        """
        ranges = []
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            last = last if dash else first
            if not (first + last).isdecimal() or not 0 < int(first) <= int(last):
                raise ValueError(text)
            ranges.append((int(first), int(last)))
        return cls(_joined(ranges))

    def __contains__(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.ranges)

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)

    def behind(self, number: int) -> "LineRanges":
        """The ranges with a line behind this one."""
        return LineRanges(tuple(one for one in self.ranges if one[1] > number))

    def merged(self, numbers: Iterable[int]) -> "LineRanges":
        """These and more lines."""
        return LineRanges(_joined([*self.ranges, *((number, number) for number in numbers)]))


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return tuple(joined)


def published(result: PublishLinesResult) -> str:
    """How many events were published, as in "5 (2 of them in the outbox); 6 more were there already"."""
    in_outbox = f" ({result.waiting} of them in the outbox)" if result.waiting else ""
    return f"{result.added + result.waiting}{in_outbox}{known(result)}"


def known(result: PublishLinesResult) -> str:
    """How many events were there already, as words behind the number of the others; empty if none was."""
    were = "was" if result.duplicates == 1 else "were"
    return f"; {result.duplicates} more {were} there already" if result.duplicates else ""


_ONCE = "A Slack envelope is added only once in any case."


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The lines that were being published when it failed, and the line behind them."""

    numbers: Sequence[int]
    then: int
    added: frozenset[int]
    uncertain: frozenset[int]
    """Those of which nobody knows whether they were added."""
    skipped: LineRanges
    """What was not to be published in the first place."""

    def advice(self, result: PublishLinesResult) -> str:
        """What was published for certain, and with which options to continue."""
        options = self._options(self.added)
        if self.uncertain:
            there = self._options(self.added | self.uncertain)
            named = LineRanges().merged(self.uncertain)
            before = f"Published: {published(result)}."
            if len(self.uncertain) == 1:
                return (
                    f"{before} Line {named} may be published, too: `abe-redis read` shows it. "
                    f"If so, continue with {there}; if not, continue with {options}. {_ONCE}"
                )
            return (
                f"{before} Lines {named} may be published, too, all or the first of them: `abe-redis read` "
                f"shows the last one that is. Continue behind it: with {there} if all are, with {options} if "
                f"none is. {_ONCE}"
            )
        return f"Published: {published(result)}. Continue with {options}."

    def note(self, result: PublishLinesResult) -> None:
        """Note for scripts where to continue."""
        result.continue_with = self._options(self.added)
        result.doubtful_lines = str(LineRanges().merged(self.uncertain)) if self.uncertain else None

    def _options(self, there: frozenset[int]) -> str:
        """The options that publish what is not there."""
        first = min((number for number in self.numbers if number not in there), default=self.then)
        skip = self.skipped.merged(there).behind(first)
        return f"--from-line {first}" + (f" --skip-lines {skip}" if skip.ranges else "")
