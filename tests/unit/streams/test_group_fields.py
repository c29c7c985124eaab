"""The fields of the records of groups: none of two groups is the same."""

import re

from abe_redis.streams.scripts import LUA


def test_no_two_groups_share_a_field() -> None:
    """Else `taken over g` would be a field of the group `over g`, and another one of the group `g`."""
    fields = re.findall(
        r"^  \['([a-z ]+)'\] = ", (LUA / "shared" / "group_fields.lua").read_text(), re.MULTILINE
    )
    assert len(fields) > 15
    fields.append("worked")
    assert [(one, other) for one in fields for other in fields if other.startswith(f"{one} ")] == []
