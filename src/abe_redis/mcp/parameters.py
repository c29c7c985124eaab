"""The parameters that tools share, with their descriptions for a model."""

from typing import Annotated, Literal

from pydantic import Field

from abe_redis import schemas

Stream = Annotated[
    str | None, Field(description="By default the host's topic.", min_length=1, max_length=512)
]
HeldIn = Annotated[
    str | None, Field(description="Only what you hold in this stream.", min_length=1, max_length=512)
]
HeldBy = Annotated[
    str | None, Field(description="Only what you hold in this group.", min_length=1, max_length=512)
]
Consumer = Annotated[
    str | None,
    Field(
        description="Name for your leases; only to continue what you began under it.",
        min_length=1,
        max_length=512,
    ),
]
Id = Annotated[str, Field(min_length=1, max_length=41)]
HeldIds = Annotated[
    list[Id] | None,
    Field(
        description="Entry ids. Without: all that you hold.",
        min_length=1,
        max_length=schemas.MAX_COUNT,
    ),
]
Confirm = Annotated[bool, Field(description="True once the user has agreed.", strict=True)]
Count = Annotated[int, Field(description="How many at most.", ge=1, le=schemas.MAX_COUNT)]
Type = Annotated[str | None, Field(description="This type, as in app_mention.", min_length=1, max_length=100)]
Channel = Annotated[str | None, Field(description="This channel, as in C024.", min_length=1, max_length=100)]
User = Annotated[str | None, Field(description="By this user, as in U061.", min_length=1, max_length=100)]
Thread = Annotated[
    str | None,
    Field(description="This thread: the ts of its root.", min_length=1, max_length=200),
]
Contains = Annotated[
    str | None, Field(description="With these words, in any case.", min_length=1, max_length=200)
]
Since = Annotated[
    str | None,
    Field(
        description="From this point on: 2h (ago), 2026-01-31T09:00 (UTC) or an entry id.",
        min_length=1,
        max_length=41,
    ),
]
Until = Annotated[
    str | None,
    Field(description="Before this point, as in since.", min_length=1, max_length=41),
]
Waiting = Annotated[bool, Field(description="Only what the group has not finished.")]
Wait = Annotated[
    float, Field(description="Seconds to wait when there is none.", ge=0, le=schemas.MAX_WAIT_SECONDS)
]
MaxChars = Annotated[int, Field(description="Characters of the whole answer.", ge=1000, le=schemas.MAX_CHARS)]
Shown = Annotated[
    Literal["none", "event", "whole"],
    Field(description="JSON beside each line: none, the Slack event, or the whole envelope."),
]
