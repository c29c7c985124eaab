"""The parameters that tools share, with their descriptions for a model."""

from typing import Annotated

from pydantic import Field

from abe_redis import schemas

Stream = Annotated[
    str | None,
    Field(description="Stream name; by default the one that Slack MCP Server publishes to.", max_length=512),
]
OneStream = Annotated[str, Field(description="The stream the events are in.", min_length=1, max_length=512)]
Group = Annotated[str, Field(description="Consumer group.", min_length=1, max_length=512)]
Consumer = Annotated[
    str | None,
    Field(
        description="Name under which events are held; by default this server's own. Give one only to "
        "continue what you began under it.",
        min_length=1,
        max_length=512,
    ),
]
Id = Annotated[str, Field(description="Entry id, as in 1732000000000-0.", min_length=1, max_length=41)]
Ids = Annotated[list[Id], Field(description="Ids of the events.", min_length=1, max_length=schemas.MAX_COUNT)]
Confirm = Annotated[
    bool,
    Field(description="Say true once the user has agreed; otherwise nothing is done.", strict=True),
]
