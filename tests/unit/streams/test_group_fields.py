"""The records of a group: every field of them is in the one list that says which changes make it void."""

import re

from lupa import lua51

from abe_redis.streams.scripts import LUA, lines

LIST = LUA / "shared/group_fields.lua"
KEPT = "worked"
"""What stays known of a group that our command removed."""


def listed() -> dict[str, set[str]]:
    runtime: lua51.LuaRuntime = lua51.LuaRuntime()
    found = runtime.execute("".join(line.text for line in lines(LIST)) + "return group_fields")
    return {field: set(changes.split()) for field, changes in found.items()}


def named() -> set[str]:
    """The words in front of a group's name wherever a script names one of its fields."""
    return {
        field
        for path in LUA.rglob("*.lua")
        for field in re.findall(r"'([a-z]+(?: [a-z]+)*) '", path.read_text("utf-8"))
    }


def test_every_field_of_a_group_is_in_the_list() -> None:
    assert named() == {*listed(), KEPT}


def test_every_change_of_a_group_is_in_the_list() -> None:
    """A misspelt change would make nothing void."""
    changes = {
        change
        for path in LUA.rglob("*.lua")
        for change in re.findall(r"(?:begin_records|forget_group)\(.*'(\w+)'\)", path.read_text("utf-8"))
    }
    assert changes == {"removed", *set().union(*listed().values())}


def test_a_group_that_begins_anew_knows_nothing_of_entries() -> None:
    """What a deleted stream makes void, a group that is moved or made again has no use for either."""
    for field, changes in listed().items():
        assert changes <= {"moved", "made", "deleted"}
        if "deleted" in changes:
            assert changes >= {"moved", "made"}, field
        if "moved" in changes:
            assert "made" in changes, field
