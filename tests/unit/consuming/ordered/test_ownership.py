"""How streams are shared: equally, and without moving more than is needed."""

import random

import pytest

from abe_redis.consuming.ordered.ownership import share


@pytest.mark.promise(
    "claims unowned streams up to an equal share, and revokes its ownership of streams beyond that share."
)
@pytest.mark.parametrize("streams", [0, 1, 4, 5, 16])
@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_all_is_shared_and_equally(streams: int, members: int) -> None:
    chance = random.Random(streams * 10 + members)
    owned = {f"m{at}": chance.randrange(6) for at in range(members)}
    shares = [share(member, owned, streams) for member in owned]
    assert sum(shares) == streams
    assert max(shares) - min(shares) <= 1


def test_the_largest_owner_keeps_the_remainder() -> None:
    assert share("b", {"a": 0, "b": 3}, 5) == 3
    assert share("a", {"a": 0, "b": 3}, 5) == 2


@pytest.mark.parametrize("seed", range(10))
def test_it_comes_to_rest_and_moves_no_more_than_it_must(seed: int) -> None:
    """Members come and go one by one; each looks at an older state than the next."""
    chance = random.Random(seed)
    streams = chance.randrange(1, 20)
    owners: list[str | None] = [None] * streams
    members: list[str] = []
    for change in range(8):
        if members and chance.random() < 0.3:
            gone = members.pop(chance.randrange(len(members)))
            owners = [None if owner == gone else owner for owner in owners]
        else:
            members.append(f"m{change}")
        before = list(owners)
        for _ in range(20):
            for member in chance.sample(members, len(members)):
                counts = {one: owners.count(one) for one in members}
                missing = share(member, counts, streams) - counts[member]
                for at, owner in enumerate(owners):
                    if missing < 0 and owner == member:
                        owners[at], missing = None, missing + 1
                    elif missing > 0 and owner is None:
                        owners[at], missing = member, missing - 1
        if not members:
            continue
        final = [owners.count(one) for one in members]
        assert sum(final) == streams
        assert max(final) - min(final) <= 1
        moved = sum(old is not None and old != new for old, new in zip(before, owners, strict=True))
        assert moved <= -(-streams // len(members)) if members else True
