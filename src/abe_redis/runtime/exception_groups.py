"""Exception groups of several failed tasks. Equal failures count as one."""

from collections.abc import Iterator
from contextlib import contextmanager


def distinct(error: BaseException) -> list[BaseException]:
    """The failures in a group and in its subgroups, and the first of each equal ones."""
    found: dict[tuple[type[BaseException], str], BaseException] = {}
    for one in leaves(error):
        found.setdefault((type(one), str(one)), one)
    return list(found.values())


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The failures in a group and in its subgroups; an exception that is no group, alone."""
    left = [error]  # and no call for each level, of which there may be more than Python allows calls
    while left:
        one = left.pop()
        if isinstance(one, BaseExceptionGroup):
            left.extend(reversed(one.exceptions))
        else:
            yield one


@contextmanager
def equal_failures_as_one() -> Iterator[None]:
    """Unwrap failures from the exception groups of task groups, and raise equal ones as one.

    Those that differ stay in a group.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        failures = distinct(error)
        if len(failures) == 1:
            error = failures[0]
        elif isinstance(error, BaseExceptionGroup) and len(failures) < len(list(leaves(error))):
            error = BaseExceptionGroup(error.message, failures)
        raise error from error.__cause__
