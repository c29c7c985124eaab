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
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error


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
