"""Streams that take no event, so that every publish is refused."""

from abe_redis.inspection.situation import Said, Situation, Verdict, has_work
from abe_redis.inspection.trimming import first_kept
from abe_redis.runtime.shell import quoted


def spent(at: Situation) -> Verdict:
    """The last id is the largest there is, so that no entry can have a larger one."""
    target, stream = at.stats.last_id_for_spent, quoted(at.stats.stream)
    if target is None:
        return Verdict()
    how = (
        f"set it by hand (XSETID). It takes events again after `redis-cli XSETID {stream} {target}`, and its "
        "workers go on"
        if target
        else "added an entry with that id, and Redis does not take it back. Let its groups finish, then "
        f"rename or delete it (`redis-cli RENAME {stream} NAME`): the next publish makes it anew"
    )
    said = "Its last id is the largest there is, so it takes no event: every publish is refused."
    return Verdict("stalled", [Said(f"{said} Somebody {how}.")])


def full(at: Situation) -> Verdict:
    """As many entries as it may have, so that every publish is refused, also while its workers work."""
    bound, here = at.stats.full_at, at.settings.redis_stream_hard_maxlen
    if bound is None:
        return Verdict()
    whose = "" if bound == here else f" of publishers; here it is {here}"
    if kept := first_kept(at.stats):
        said = f"It is full: at {bound} entries (REDIS_STREAM_HARD_MAXLEN{whose}) every publish is refused."
        return Verdict("stalled", [Said(f"{said} {kept.found} {kept.advice}")])
    why = "its consumers are behind" if any(map(has_work, at.stats.groups)) else "nobody has trimmed it"
    said = (
        f"It is full: at {bound} entries (REDIS_STREAM_HARD_MAXLEN{whose}) every publish is refused, as "
        f"{why if at.stats.groups else 'nobody reads it'}. Start or add consumers, or raise "
        "REDIS_STREAM_HARD_MAXLEN where events are published."
    )
    return Verdict("stalled", [Said(said)])
