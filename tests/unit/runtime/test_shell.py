"""Commands in advice: a name is quoted, and never taken for an option."""

import shlex

import pytest

from abe_redis.runtime.shell import command, option


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("s", "g"), "abe-redis group create s g --from now"),
        (("s s", "g"), "abe-redis group create 's s' g --from now"),
        (("s", "--force"), "abe-redis group create --from now -- s --force"),
        (("-h", "g"), "abe-redis group create --from now -- -h g"),
    ],
)
def test_a_name_is_never_an_option(names: tuple[str, str], said: str) -> None:
    assert command("group create", *names, options="--from now") == said
    assert shlex.split(said)[-2:] == list(names) or shlex.split(said)[3:5] == list(names)


def test_a_command_without_names_or_options() -> None:
    assert command("dead list") == "abe-redis dead list"
    assert command("dead list", "--all") == "abe-redis dead list -- --all"


@pytest.mark.parametrize(
    ("value", "said"), [("g", "--group g"), ("-h", "--group=-h"), ("a b", "--group 'a b'")]
)
def test_the_value_of_an_option_is_never_an_option(value: str, said: str) -> None:
    assert option("--group", value) == said
