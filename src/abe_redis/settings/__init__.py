"""Every environment variable that abe-redis reads, in one model.

The environment wins. Variables that it does not set come from `.env` in the working directory, where users of
Slack MCP Server keep theirs (that server reads the file into its own settings only). Our MCP server reads a
file only with `--env-file`, because a client may start it in a stranger's directory.
"""

import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self, override

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceError

from abe_redis.errors import SettingsError
from abe_redis.settings import consumer_names, globs, in_force, misspelt, sentences, variables
from abe_redis.settings.described import signature_of, with_settings
from abe_redis.settings.secret_values import LINE, PRINTABLE, TOKEN
from abe_redis.settings.url import check_url, without_credentials

_LOG = logging.getLogger(__name__)


class Settings(BaseSettings):
    """How to reach Redis, and how to use it.

    Without arguments it reads the environment and `.env`; arguments win over both.

    Raises:
        SettingsError: A value is not allowed. The message names the variable, the value (never a secret)
            and what is allowed.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    redis_url: str = Field(
        default="redis://localhost:6379/0",
        description="Where Redis is: `redis://`, `rediss://`, `unix://`, `embedded://`, "
        "`redis+sentinel://` or `redis+cluster://`. A user name and password in it win over "
        "`REDIS_USERNAME` and `REDIS_PASSWORD`.",
    )
    redis_username: Annotated[str | None, LINE] = Field(default=None, description="ACL user name.")
    redis_password: Annotated[SecretStr | None, LINE] = Field(None, description="Password; never shown.")
    redis_password_file: Path | None = Field(
        default=None, description="File that holds the password; read anew for each connection."
    )
    redis_credentials: str | None = Field(
        default=None,
        pattern=r"^[\w.]+:[\w.]+$",
        description="`module:name` of a redis-py `CredentialProvider`, asked anew for each connection. "
        "Read only from the environment, never from `.env`, because it names code.",
    )
    redis_sentinel_username: Annotated[str | None, LINE] = Field(
        default=None, description="ACL user name for the Sentinels, if they require one."
    )
    redis_sentinel_password: Annotated[SecretStr | None, LINE] = Field(
        default=None, description="Password for the Sentinels. They never get that of the servers."
    )
    redis_ssl: bool = Field(default=False, description="`true` turns `redis://` into `rediss://`.")
    redis_ssl_ca_certs: Path | None = Field(
        default=None, description="File with the authorities to trust, in place of the system's."
    )
    redis_ssl_certfile: Path | None = Field(default=None, description="Client certificate.")
    redis_ssl_keyfile: Path | None = Field(default=None, description="Key of the client certificate.")
    redis_max_connections: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Accepted for compatibility, and never reached: commands share one connection per "
        "server, and blocking reads have connections of their own.",
    )
    redis_wait_replicas: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Number of replicas that must have received an event before it counts as published.",
    )
    redis_stream_maxlen: int = Field(
        default=10_000, ge=1, le=1_000_000_000, description="Number of finished events that a stream keeps."
    )
    redis_stream_hard_maxlen: int = Field(
        default=1_000_000,
        ge=1,
        le=1_000_000_000,
        description="Most entries of a stream. A full stream accepts no more: publishing fails instead of "
        "losing events.",
    )
    redis_stream_trim_unread: bool = Field(
        default=False,
        description="`true`: `REDIS_STREAM_MAXLEN` holds also while no group exists: what nobody has read is "
        "removed, and counted. Otherwise it is kept for the first group.",
    )
    redis_stream_patterns: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("slack:*", "slack_events"),
        description="Streams that `consume()` discovers and that the MCP server may touch, comma "
        "separated. `SLACK_EVENTS_TOPIC` (`slack_events`) is read as well when it is set, or when one of "
        "them begins with `slack`: `slack:bot` alone also reads `slack_events`.",
    )
    redis_stream_group: str = Field(
        default="default", min_length=1, description="The group of a `consume()` that names none."
    )
    redis_stream_consumer: str | None = Field(
        default=None,
        min_length=1,
        description="Name of this process in its group; by default host-pid-random.",
    )
    redis_stream_lease_seconds: float = Field(
        default=30,
        ge=0.5,
        le=86_400,
        allow_inf_nan=False,
        description="Time after which an event whose lease is not renewed goes to another consumer.",
    )
    redis_stream_max_deliveries: int = Field(
        default=5,
        ge=1,
        le=1_000_000,
        description="Deliveries without an ack after which an event is buried.",
    )
    redis_stream_max_handling_seconds: float = Field(
        default=3600,
        gt=0,
        allow_inf_nan=False,
        description="Longest time for which a lease is renewed; then a handler loses its event, which is "
        "delivered again. Keep it above your longest handler.",
    )
    redis_stream_group_idle_days: float = Field(
        default=7,
        ge=0,
        allow_inf_nan=False,
        description="Days after which an unused group no longer holds back trimming; 0: it always does.",
    )
    redis_stream_dead_days: float = Field(
        default=0,
        ge=0,
        allow_inf_nan=False,
        description="Age in days at which consumers remove dead letters; 0: never.",
    )
    redis_outbox: Path | None = Field(
        default=None,
        description="File that keeps events while Redis cannot take them, and forwards them later.",
    )
    redis_stream_dedup_seconds: float = Field(
        default=86_400,
        ge=0,
        le=31_536_000,
        allow_inf_nan=False,
        description="Time for which a stream remembers a Slack `event_id`; 0 turns deduplication off.",
    )
    redis_stream_event_id: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Fields of the payload that are its id for hosts other than Slack's, comma separated, as "
        "in `delivery_id` or `headers.x-request-id`; the first that holds something counts. Slack's "
        "envelopes have their own.",
    )
    redis_stream_merge_mentions: bool = Field(
        default=False,
        description="`true` keeps one event of each mention of the app in a channel, which Slack sends as "
        "`app_mention` and as `message`; for apps that get both.",
    )
    redis_stream_conversation: Literal["channel", "thread", "user"] = Field(
        default="channel",
        description="What is kept in order, and on one partition: a channel, a thread, or all that a user "
        "does. It must be the same for all who publish.",
    )
    redis_stream_partitions: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="Number of streams over which a topic is spread, by conversation. All publishers need "
        "the same number.",
    )
    slack_signing_secret: Annotated[SecretStr | None, PRINTABLE] = Field(
        default=None,
        description="What Slack signs its requests with, for `abe-redis listen --http`; several with commas "
        "between, while one replaces the other. Never logged or shown.",
    )
    slack_app_token: Annotated[SecretStr | None, TOKEN] = Field(
        default=None,
        description="The app-level token (`xapp-…`) for `abe-redis listen --socket`. Never logged or shown.",
    )
    slack_events_topic: str = Field(
        default="slack_events", min_length=1, description="The stream to which Slack MCP Server publishes."
    )

    _origins: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **values: Any) -> None:  # noqa: ANN401 - pydantic checks each
        """Read the variables.

        Args:
            values: Settings that win over both; `_env_file`, a file to read instead of `.env`, or None; and
                `_strict`, to refuse a variable that is probably misspelt instead of warning of it.
        """
        env_file, strict = values.pop("_env_file", ".env"), values.pop("_strict", False)
        fields = type(self).model_fields
        misspelt.check_arguments(values, fields)
        found = variables.read(env_file)
        written = {
            name.lower(): value for name in variables.ours(found, fields) if (value := found.of_file(name))
        }
        written = {name: value for name, value in written.items() if name in fields and name not in values}
        exported = {name.lower() for name, value in found.exported.items() if value}
        origins = {name: "environment" for name in fields if name in exported}
        origins |= dict.fromkeys(written, "file") | dict.fromkeys(values, "arguments")
        try:
            super().__init__(**written | values)
        except ValidationError as error:
            raise SettingsError(sentences.of(error)) from None
        except SourceError as error:
            raise SettingsError(f"The settings cannot be read: {type(error).__name__}.") from None
        self._origins, known = origins, (*fields, *variables.OF_COMMANDS)
        misspelt.check_variables({**found.written, **found.exported}, known, strict=strict)
        if origins.get("redis_credentials") == "file":
            raise SettingsError(
                "REDIS_CREDENTIALS names code to run, so .env may not set it. Export it in the environment."
            )
        url = values.get("redis_url") or found.exported.get("REDIS_URL") or written.get("redis_url", "")
        variables.check_origins(str(url), {name: origins[name] for name in origins if getattr(self, name)})
        if of_file := variables.ours(found, fields):
            _LOG.debug("%s sets %s.", found.file, ", ".join(of_file))

    def in_force(self) -> list[in_force.InForce]:
        """Each setting by its variable, with where its value comes from and without secrets."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        added = self.added_topic
        notes = {"redis_stream_patterns": f"and {added}, which is SLACK_EVENTS_TOPIC" if added else ""}
        return in_force.listed(values, self._origins, notes, defaults=values.keys() - self.model_fields_set)

    def is_of_file(self, name: str) -> bool:
        """Whether a setting was read from the file."""
        return self._origins.get(name) == "file"

    @field_validator("redis_stream_patterns", "redis_stream_event_id", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("redis_stream_patterns")
    @classmethod
    def _some_pattern(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(value):
            raise ValueError("one or more names or patterns separated by commas, none of them empty")
        for pattern in value:
            if flaw := globs.flaw(pattern):
                raise ValueError(f"whole patterns; {pattern!r} is none, since {flaw}")
        return value

    @field_validator("redis_stream_consumer")
    @classmethod
    def _name_of_a_process(cls, value: str | None) -> str | None:
        return consumer_names.check(value)

    @field_validator("redis_stream_event_id")
    @classmethod
    def _names_of_fields(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(part for name in value for part in name.split(".")) or any(" " in name for name in value):
            raise ValueError(
                "names of fields separated by commas, none of them empty, as in "
                "delivery_id,headers.x-request-id"
            )
        return value

    @field_validator("redis_url")
    @classmethod
    def _url_is_sound(cls, value: str) -> str:
        check_url(value)
        return value

    @model_validator(mode="before")
    @classmethod
    def _move_credentials_out_of_the_url(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Keep the secret in one place only, so that the URL can be shown."""
        url = data.get("redis_url")
        if not isinstance(url, str):
            return data
        shown, username, password = without_credentials(url)
        moved = {"redis_url": shown, "redis_username": username, "redis_password": password}
        return data | {name: value for name, value in moved.items() if value}

    @model_validator(mode="after")
    def _one_source_of_credentials(self) -> Self:
        sources = {
            "a password (REDIS_PASSWORD or in REDIS_URL)": self.redis_password,
            "REDIS_PASSWORD_FILE": self.redis_password_file,
            "REDIS_CREDENTIALS": self.redis_credentials,
        }
        given = [name for name, value in sources.items() if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are set; set one of them")
        return self

    @model_validator(mode="after")
    def _tls_files_come_together(self) -> Self:
        if self.redis_ssl_keyfile and not self.redis_ssl_certfile:
            raise ValueError("REDIS_SSL_KEYFILE is set without REDIS_SSL_CERTFILE; set both or neither")
        return self

    @property
    def patterns(self) -> tuple[str, ...]:
        """The stream patterns, and Slack's topic, unless they are another host's.

        They are that when the topic is not set and none of them begins with `slack`.
        """
        is_for_slack = "slack_events_topic" in self.model_fields_set or any(
            pattern.startswith("slack") for pattern in self.redis_stream_patterns
        )
        topics = (*self.redis_stream_patterns, *((self.slack_events_topic,) if is_for_slack else ()))
        return tuple(dict.fromkeys(topics))

    @property
    def added_topic(self) -> str | None:
        """Slack's topic, if it is one of the patterns although REDIS_STREAM_PATTERNS does not match it."""
        topic, given = self.slack_events_topic, self.redis_stream_patterns
        is_added = topic in self.patterns and not any(fnmatchcase(topic, pattern) for pattern in given)
        return topic if is_added else None

    @property
    def consumer_name(self) -> str:
        """The configured consumer name, or a new one of host, process id and a random part."""
        return self.redis_stream_consumer or consumer_names.new()

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.redis_url.startswith("rediss") or (self.redis_ssl and self.redis_url.startswith("redis"))

    @property
    def secrets(self) -> tuple[str, ...]:
        """Secrets that must never appear in a message about Redis."""
        both = (self.redis_password, self.redis_sentinel_password)
        return tuple(one.get_secret_value() for one in both if one)

    @override
    def __repr_args__(self) -> Any:
        return ((name, value) for name, value in super().__repr_args__() if name in self.model_fields_set)


Settings.__doc__ = with_settings(Settings.__doc__, Settings.model_fields)
Settings.__signature__ = signature_of(Settings.model_fields)
