"""The Slack envelope that every contestant carries. Standard library only: each has its own environment."""

import json
from typing import Any

type Payload = dict[str, Any]

NUMBER_DIGITS = 10

_SMALL: Payload = {
    "type": "event_callback",
    "event_id": "Ev" + "0" * NUMBER_DIGITS,
    "event": {"type": "message", "channel": "C0LAN2Q65", "text": ""},
}

_REALISTIC: Payload = {
    "token": "verification",
    "team_id": "T0MJRM1A7",
    "context_team_id": "T0MJRM1A7",
    "api_app_id": "A0PNCHHK2",
    "event": {
        "type": "app_mention",
        "user": "U0LAN0Z89",
        "client_msg_id": "5f3a1b8e-2d4c-4c9e-9a57-0c2f1e6b7d90",
        "ts": "1732000000.000100",
        "channel": "C0LAN2Q65",
        "event_ts": "1732000000.000100",
        "thread_ts": "1731999990.000200",
        "text": "",
        "blocks": [
            {
                "type": "rich_text",
                "block_id": "b/Xy1",
                "elements": [
                    {
                        "type": "rich_text_section",
                        "elements": [
                            {"type": "user", "user_id": "U0BOT0001"},
                            {"type": "text", "text": " wie steht es um das Release, und wer prüft es?"},
                            {"type": "emoji", "name": "eyes", "unicode": "1f440"},
                        ],
                    }
                ],
            }
        ],
    },
    "type": "event_callback",
    "event_id": "Ev" + "0" * NUMBER_DIGITS,
    "event_time": 1732000000,
    "authorizations": [
        {"enterprise_id": None, "team_id": "T0MJRM1A7", "user_id": "U0BOT0001", "is_bot": True}
    ],
    "is_ext_shared_channel": False,
    "event_context": "4-eyJldCI6ImFwcF9tZW50aW9uIiwidGlkIjoiVDBNSlJNMUE3IiwiYWlkIjoiQTBQTkNISEsyIn0",
}


class Envelopes:
    """Makes envelopes of about so many kilobytes of JSON, each with an `event_id` of its own."""

    def __init__(self, kilobytes: float) -> None:
        wanted = round(kilobytes * 1000)
        base = _REALISTIC if wanted >= _length(_REALISTIC) else _SMALL
        text = "lorem ipsum " * (max(0, wanted - _length(base)) // 12 + 1)
        padded = text[: max(0, wanted - _length(base))]
        self._template: Payload = {**base, "event": {**base["event"], "text": padded}}

    def make(self, number: int) -> Payload:
        """The envelope of this number; a shallow copy, so that making it costs next to nothing."""
        return {**self._template, "event_id": f"Ev{number:0{NUMBER_DIGITS}d}"}

    def halves(self) -> tuple[bytes, bytes]:
        """The JSON before and after the number."""
        before, _, after = _compact(self.make(0)).partition("Ev" + "0" * NUMBER_DIGITS)
        return f"{before}Ev".encode(), after.encode()


def number_of(event_id: str) -> int:
    """Which envelope it was."""
    return int(event_id.removeprefix("Ev"))


def _compact(payload: Payload) -> str:
    return json.dumps(payload, separators=(",", ":"), ensure_ascii=False)


def _length(payload: Payload) -> int:
    return len(_compact(payload).encode())
