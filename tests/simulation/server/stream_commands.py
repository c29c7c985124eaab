"""The commands that begin with X."""

from typing import TYPE_CHECKING, Any

from tests.simulation.server import streams
from tests.simulation.server.replies import OK, SYNTAX, Refused, Reply, integer, options
from tests.simulation.server.streams import ZERO, Group, Id, Row, Stream, parsed, shown

if TYPE_CHECKING:
    from tests.simulation.server.keyspace import Keyspace


def stream_at(db: "Keyspace", key: bytes) -> Stream | None:
    """The stream at a key, if there is one."""
    return db.get(key, Stream)


def group_at(db: "Keyspace", key: bytes, name: bytes, *, more: str = "") -> tuple[Stream, Group]:
    """A group that must be there."""
    stream = stream_at(db, key)
    group = stream.groups.get(name) if stream else None
    if stream is None or group is None:
        text = f"NOGROUP No such key '{key.decode()}' or consumer group '{name.decode()}'{more}"
        raise Refused(text)
    return stream, group


def _seen(db: "Keyspace", group: Group, consumer: bytes) -> None:
    group.consumers[consumer] = db.now_ms()


def _entry(entry_id: Id, fields: list[bytes]) -> list[Any]:
    return [shown(entry_id), fields]


def xadd(db: "Keyspace", words: list[bytes]) -> Reply:
    """XADD key [NOMKSTREAM] [MAXLEN [=|~] n] id field value …"""
    key, *rest = words
    maxlen: int | None = None
    make = True
    while True:
        option = rest[0].upper()
        if option == b"NOMKSTREAM":
            make, rest = False, rest[1:]
        elif option == b"MAXLEN":
            at = 2 if rest[1] in {b"=", b"~"} else 1
            maxlen, rest = integer(rest[at]), rest[at + 1 :]
        else:
            break
    stream = stream_at(db, key)
    if stream is None:
        if not make:
            return None
        stream = db.put(key, Stream())
    entry_id = stream.next_id(db.now_ms()) if rest[0] == b"*" else parsed(rest[0])
    if entry_id <= stream.last and stream.added:
        raise Refused("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    fields = rest[1:]
    if not fields or len(fields) % 2:
        raise Refused("ERR wrong number of arguments for 'xadd' command")
    stream.add(entry_id, fields)
    if maxlen is not None:
        _cut(stream, len(stream.entries) - maxlen)
    return shown(entry_id)


def _cut(stream: Stream, count: int) -> int:
    gone = list(stream.entries)[: max(0, count)]
    for entry_id in gone:
        del stream.entries[entry_id]
    return len(gone)


def xlen(db: "Keyspace", words: list[bytes]) -> Reply:
    """XLEN key."""
    stream = stream_at(db, words[0])
    return len(stream.entries) if stream else 0


def xrange(db: "Keyspace", words: list[bytes]) -> Reply:
    """XRANGE key start end [COUNT n]."""
    return _range(db, words[0], words[1], words[2], words[3:], back=False)


def xrevrange(db: "Keyspace", words: list[bytes]) -> Reply:
    """XREVRANGE key end start [COUNT n]."""
    return _range(db, words[0], words[2], words[1], words[3:], back=True)


def _range(db: "Keyspace", key: bytes, start: bytes, end: bytes, rest: list[bytes], *, back: bool) -> Reply:
    stream = stream_at(db, key)
    count = integer(rest[1]) if rest else None
    if stream is None:
        return []
    ids = list(stream.between(*streams.bounds(start, end)))
    if back:
        ids.reverse()
    return [_entry(entry_id, stream.entries[entry_id]) for entry_id in ids[:count]]


def xdel(db: "Keyspace", words: list[bytes]) -> Reply:
    """XDEL key id …"""
    stream = stream_at(db, words[0])
    return sum(stream.delete(parsed(word)) for word in words[1:]) if stream else 0


def xtrim(db: "Keyspace", words: list[bytes]) -> Reply:
    """XTRIM key MAXLEN|MINID [=|~] threshold."""
    key, how, *rest = words
    stream = stream_at(db, key)
    threshold = rest[1] if rest[0] in {b"=", b"~"} else rest[0]
    if stream is None:
        return 0
    if how.upper() == b"MAXLEN":
        return _cut(stream, len(stream.entries) - integer(threshold))
    least = parsed(threshold)
    return _cut(stream, sum(entry_id < least for entry_id in stream.entries))


def xack(db: "Keyspace", words: list[bytes]) -> Reply:
    """XACK key group id …"""
    stream = stream_at(db, words[0])
    group = stream.groups.get(words[1]) if stream else None
    if group is None:
        return 0
    return sum(group.pending.pop(parsed(word), None) is not None for word in words[2:])


def xgroup(db: "Keyspace", words: list[bytes]) -> Reply:
    """XGROUP CREATE|SETID|DESTROY|CREATECONSUMER|DELCONSUMER key group …"""
    what, key, name, *rest = words
    what = what.upper()
    stream = stream_at(db, key)
    if stream is None:
        if b"MKSTREAM" not in options(rest) or what != b"CREATE":
            raise Refused(
                "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to "
                "use the MKSTREAM option to create an empty stream automatically."
            )
        stream = db.put(key, Stream())
    if what == b"CREATE":
        if name in stream.groups:
            raise Refused("BUSYGROUP Consumer Group name already exists")
        stream.groups[name] = Group(*_position(stream, rest))
        return OK
    group = stream.groups.get(name)
    if what == b"DESTROY":
        stream.groups.pop(name, None)
        return int(group is not None)
    if group is None:
        raise Refused(f"NOGROUP No such consumer group '{name.decode()}' for key name '{key.decode()}'")
    if what == b"SETID":
        group.last, group.read = _position(stream, rest)
        return OK
    if what == b"CREATECONSUMER":
        new = rest[0] not in group.consumers
        group.consumers.setdefault(rest[0], db.now_ms())
        return int(new)
    if what == b"DELCONSUMER":
        group.consumers.pop(rest[0], None)
        theirs = [entry_id for entry_id, row in group.pending.items() if row.consumer == rest[0]]
        for entry_id in theirs:
            del group.pending[entry_id]
        return len(theirs)
    raise Refused(SYNTAX)


def _position(stream: Stream, rest: list[bytes]) -> tuple[Id, int | None]:
    last = stream.last if rest[0] == b"$" else parsed(rest[0])
    words = options(rest)
    read = integer(rest[words.index(b"ENTRIESREAD") + 1]) if b"ENTRIESREAD" in words else -1
    return last, None if read < 0 else read


def xreadgroup(db: "Keyspace", words: list[bytes]) -> Reply:
    """XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [NOACK] STREAMS key … id …; without waiting."""
    name, consumer = words[1], words[2]
    count, keys, ids = _reading(words[3:])
    more = " in XREADGROUP with GROUP option"
    groups = [group_at(db, key, name, more=more) for key in keys]
    answers: list[Any] = []
    for key, start, (stream, group) in zip(keys, ids, groups, strict=True):
        # Redis 7.0 knows nothing of a consumer that was given nothing yet.
        if start == b">":
            found = _new(db, stream, group, consumer, count)
            if found:
                _seen(db, group, consumer)
                answers.append([key, found])
        else:
            _seen(db, group, consumer)
            answers.append([key, _history(stream, group, consumer, parsed(start), count)])
    return answers or None


def _new(db: "Keyspace", stream: Stream, group: Group, consumer: bytes, count: int | None) -> list[Any]:
    found: list[Any] = []
    for entry_id, fields in list(stream.entries.items()):
        if entry_id <= group.last:
            continue
        if count is not None and len(found) >= count:
            break
        stream.note_read(group, entry_id)
        group.pending[entry_id] = Row(consumer, db.now_ms(), 1)
        found.append(_entry(entry_id, fields))
    return found


def _history(stream: Stream, group: Group, consumer: bytes, after: Id, count: int | None) -> list[Any]:
    found: list[Any] = []
    for entry_id, row in group.rows():
        if row.consumer == consumer and entry_id > after and (count is None or len(found) < count):
            fields = stream.entries.get(entry_id)
            if fields is not None:
                row.count += 1
            found.append([shown(entry_id), fields])
    return found


def xread(db: "Keyspace", words: list[bytes]) -> Reply:
    """XREAD [COUNT n] [BLOCK ms] STREAMS key … id …; without waiting."""
    count, keys, ids = _reading(words)
    answers: list[Any] = []
    for key, start in zip(keys, ids, strict=True):
        stream = stream_at(db, key)
        after = parsed(start)
        if stream is not None:
            newer = [one for one in stream.entries if one > after][:count]
            if newer:
                answers.append([key, [_entry(one, stream.entries[one]) for one in newer]])
    return answers or None


def _reading(words: list[bytes]) -> tuple[int | None, list[bytes], list[bytes]]:
    upper = options(words)
    at = upper.index(b"STREAMS")
    count = integer(words[upper.index(b"COUNT") + 1]) if b"COUNT" in upper[:at] else None
    rest = words[at + 1 :]
    half = len(rest) // 2
    return count or None, rest[:half], rest[half:]


def xpending(db: "Keyspace", words: list[bytes]) -> Reply:
    """XPENDING key group [[IDLE ms] start end count [consumer]]."""
    _, group = group_at(db, words[0], words[1])
    rest = words[2:]
    rows = group.rows()
    if not rest:
        if not rows:
            return [0, None, None, None]
        names = sorted({row.consumer for _, row in rows})
        counts = [[name, b"%d" % sum(row.consumer == name for _, row in rows)] for name in names]
        return [len(rows), shown(rows[0][0]), shown(rows[-1][0]), counts]
    least = 0
    if rest[0].upper() == b"IDLE":
        least, rest = integer(rest[1]), rest[2:]
    start, end = streams.bounds(rest[0], rest[1])
    count, now, found = integer(rest[2]), db.now_ms(), list[Any]()
    for entry_id, row in rows:
        idle = max(0, now - row.delivered)
        if len(found) < count and start <= entry_id <= end and idle >= least:
            if len(rest) > 3 and row.consumer != rest[3]:
                continue
            found.append([shown(entry_id), row.consumer, idle, row.count])
    return found


def xclaim(db: "Keyspace", words: list[bytes]) -> Reply:
    """XCLAIM key group consumer min-idle id … [IDLE ms|TIME ms|RETRYCOUNT n|FORCE|JUSTID|LASTID id]."""
    stream, group = group_at(db, words[0], words[1])
    consumer, least, now = words[2], integer(words[3]), db.now_ms()
    rest = words[4:]
    at = next((at for at, word in enumerate(rest) if not word[:1].isdigit()), len(rest))
    ids, said = rest[:at], rest[at:]
    named = options(said)
    delivered = now
    if b"IDLE" in named:
        delivered = now - integer(said[named.index(b"IDLE") + 1])
    elif b"TIME" in named:
        delivered = integer(said[named.index(b"TIME") + 1])
    if not 0 <= delivered <= now:
        delivered = now
    count = integer(said[named.index(b"RETRYCOUNT") + 1]) if b"RETRYCOUNT" in named else None
    justid, found = b"JUSTID" in named, list[Any]()
    if b"LASTID" in named:
        group.last = max(group.last, parsed(said[named.index(b"LASTID") + 1]))
    for word in ids:
        entry_id = parsed(word)
        row, fields = group.pending.get(entry_id), stream.entries.get(entry_id)
        if fields is None:
            group.pending.pop(entry_id, None)
            continue
        if row is None:
            if b"FORCE" not in named:
                continue
            row = group.pending[entry_id] = Row(consumer, now, 1)
            # What is made by force was given to nobody yet.
        elif least and now - row.delivered < least:  # asked for only then: a clock may have been set back
            continue
        _seen(db, group, consumer)
        row.consumer, row.delivered = consumer, delivered
        if count is not None:
            row.count = count
        elif not justid:
            row.count += 1
        found.append(shown(entry_id) if justid else _entry(entry_id, fields))
    return found


def xinfo(db: "Keyspace", words: list[bytes]) -> Reply:
    """XINFO STREAM|GROUPS|CONSUMERS key …"""
    what, key = words[0].upper(), words[1]
    stream = stream_at(db, key)
    if stream is None:
        raise Refused("ERR no such key")
    if what == b"STREAM":
        ids = list(stream.entries)
        first = _entry(ids[0], stream.entries[ids[0]]) if ids else None
        last = _entry(ids[-1], stream.entries[ids[-1]]) if ids else None
        return [
            *(b"length", len(ids), b"radix-tree-keys", 1, b"radix-tree-nodes", 2),
            *(b"last-generated-id", shown(stream.last), b"max-deleted-entry-id", shown(stream.max_deleted)),
            *(b"entries-added", stream.added, b"recorded-first-entry-id", shown(stream.first)),
            *(b"groups", len(stream.groups), b"first-entry", first, b"last-entry", last),
        ]
    if what == b"GROUPS":
        return [
            [
                *(b"name", name, b"consumers", len(group.consumers), b"pending", len(group.pending)),
                *(b"last-delivered-id", shown(group.last), b"entries-read", group.read),
                *(b"lag", stream.lag(group)),
            ]
            for name, group in sorted(stream.groups.items())
        ]
    if what == b"CONSUMERS":
        _, group = group_at(db, key, words[2])
        holders = [row.consumer for row in group.pending.values()]
        return [
            [b"name", name, b"pending", holders.count(name), b"idle", max(0, db.now_ms() - seen)]
            for name, seen in sorted(group.consumers.items())
        ]
    raise Refused(SYNTAX)


ZERO_ID = shown(ZERO)
COMMANDS = {
    b"XADD": xadd, b"XLEN": xlen, b"XRANGE": xrange, b"XREVRANGE": xrevrange, b"XDEL": xdel, b"XTRIM": xtrim,
    b"XACK": xack, b"XGROUP": xgroup, b"XREADGROUP": xreadgroup, b"XREAD": xread, b"XPENDING": xpending,
    b"XCLAIM": xclaim, b"XINFO": xinfo,
}  # fmt: skip
