"""Invisible characters that join visible ones in ordinary writing.

Within an emoji (a family, a heart in red, a flag) and between letters of a script that joins its letters
(Persian, Hindi, Sinhala), one joiner or variation selector belongs to what people write. Anywhere else, or
twice in a row, it hides something. The tag characters, which could spell any text unseen, pass only in the
flags of England, Scotland and Wales.
"""

import re
import unicodedata

_JOINERS = "\u200c\u200d"

# Unicode's Extended_Pictographic, as far as such characters are in use.
_PICTURE = (
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u2388\u23cf\u23e9-\u23f3"
    "\u23f8-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2605\u2607-\u2612\u2614-\u2685"
    "\u2690-\u2705\u2708-\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e\u2753-\u2755"
    "\u2757\u2763-\u2767\u2795-\u2797\u27a1\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001f0ff\U0001f10d-\U0001f10f\U0001f12f\U0001f16c-\U0001f171"
    "\U0001f17e\U0001f17f\U0001f18e\U0001f191-\U0001f19a\U0001f201-\U0001f20f\U0001f21a\U0001f22f"
    "\U0001f232-\U0001f23a\U0001f23c-\U0001f23f\U0001f249-\U0001f3fa\U0001f400-\U0001f53d\U0001f546-\U0001f64f"
    "\U0001f680-\U0001f6ff\U0001f774-\U0001f77f\U0001f7d5-\U0001f7ff\U0001f90c-\U0001f93a\U0001f93c-\U0001f945"
    "\U0001f947-\U0001faff]"
)
_ELEMENT = f"{_PICTURE}[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]?"


def _tags(word: str) -> str:
    return "".join([chr(0xE0000 + ord(letter)) for letter in word])


_EMOJI = re.compile(
    rf"\U0001f3f4(?:{_tags('gbeng')}|{_tags('gbsct')}|{_tags('gbwls')})\U000e007f"
    rf"|{_ELEMENT}(?:\u200d{_ELEMENT})*+"
    "|[0-9#*]\ufe0f\u20e3"
)

_SCRIPTS = [
    *(range(0x0600, 0x0700), range(0x0700, 0x0750), range(0x0750, 0x0780), range(0x07C0, 0x0800)),
    *(range(0x0840, 0x0860), range(0x0860, 0x0870), range(0x0870, 0x0900)),
    *(range(start, start + 0x80) for start in range(0x0900, 0x0E00, 0x80)),  # Devanagari to Sinhala
    *(range(0x1000, 0x10A0), range(0x1780, 0x1800), range(0x1800, 0x18B0), range(0xA840, 0xA880)),
    *(range(0xFB50, 0xFE00), range(0xFE70, 0xFEFD), range(0x10D00, 0x10D40), range(0x1E900, 0x1E960)),
]
_ARABIC = {0x0600, 0x0750, 0x0870, 0xFB50, 0xFE70}
_VIRAMA = 9
"""Unicode's combining class of the sign that takes a consonant's vowel away; a joiner may stand behind it."""


def joining_in(text: str) -> set[int]:
    """The places in a text where an invisible character belongs to visible ones."""
    places = {
        at
        for match in _EMOJI.finditer(text)
        if match.end() - match.start() > 1
        for at in range(*match.span())
    }
    if any(joiner in text for joiner in _JOINERS):
        places |= {at for at, char in enumerate(text) if char in _JOINERS and _joins_letters(text, at)}
    return places


def _joins_letters(text: str, at: int) -> bool:
    before = text[at - 1 : at]
    if not before or (script := _script_of(before)) is None:
        return False
    return unicodedata.combining(before) == _VIRAMA or script == _script_of(text[at + 1 : at + 2])


def _script_of(char: str) -> int | None:
    """The joining script of a letter, or of a sign on one, by where it begins in Unicode."""
    if not char or unicodedata.category(char)[0] not in "LM":
        return None
    code = ord(char)
    start = next((script.start for script in _SCRIPTS if code in script), None)
    return 0x0600 if start in _ARABIC else start
