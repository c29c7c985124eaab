"""Asks the policy what a failure means. A policy that fails decides nothing, and the default one does."""

import inspect
import logging

from abe_redis.events.event import Event
from abe_redis.events.log_fields import of_event
from abe_redis.runtime.arguments import shown
from abe_redis.runtime.signals import is_ctrl_c
from abe_redis.sanitize.exceptions import describe, place, trace
from abe_redis.worker.retry import Backoff, Bury, Decision, Drop, Policy, Retry, failed_too_often

_LOG = logging.getLogger("abe_redis.worker.event_worker")

_DEFAULT = Backoff()


def decide(policy: Policy, event: Event, error: Exception, *, most_deliveries: int) -> Decision:
    """Ask the policy what to do after a failure of a handler.

    Args:
        policy: Whom to ask.
        event: The event, at the delivery that failed.
        error: The failure.
        most_deliveries: Deliveries after which nobody delivers it again: then it is buried now, with what is
            known of the failure.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    decision = _asked(policy, event, error)
    if isinstance(decision, Retry) and decision.counts and event.deliveries >= most_deliveries:
        return failed_too_often(event, error)
    return decision


def _asked(policy: Policy, event: Event, error: Exception) -> Decision:
    """The decision of the policy, else of the default one, which fails only if the failure cannot be read."""
    for asked, then in ((policy, "The default policy decides"), (_DEFAULT, "The event is delivered again")):
        try:
            return _checked(asked(event, error))
        except BaseException as failure:
            if is_ctrl_c(failure):
                raise
            at = place(failure)
            _LOG.error(
                "The policy failed for %s of %r with %s%s. %s.",
                *(event.id, event.stream, describe(failure), f" at {at}" if at else "", then),
                extra=of_event(event)
                | {"exception": {"type": type(failure).__qualname__, "trace": trace(failure)}},
            )
    return _DEFAULT.later(event)


def _checked(decision: object) -> Decision:
    """The decision, if it is one; of a class of our own, so that nothing of the policy's runs later.

    Raises:
        TypeError: It is none.
    """
    match decision:
        case Retry(delay, counts):
            return Retry(delay, counts)
        case Bury(reason):
            return Bury(reason)
        case Drop():
            return Drop()
    if inspect.iscoroutine(decision):
        decision.close()  # which nobody awaits
    what = f"the class {decision.__name__}" if inspect.isclass(decision) else f"what is {shown(decision)}"
    raise TypeError(f"it returned {what}; it must return Retry(…), Bury(…) or Drop()")
