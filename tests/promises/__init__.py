"""Which tests prove which sentence of the pages that promise something.

A test names the sentence, or enough of it, with `@pytest.mark.promise("…")`. What only explains is listed in
`explained.txt`. `python -m tests.promises` prints the table.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

PAGES = {
    "delivery.md": (
        "The promises",
        "Slack sends it again",
        "The worker dies",
        "The worker freezes, and wakes",
        "The handler fails",
        "Redis is away",
        "Redis loses what it had",
        "Somebody removes unfinished events",
        "An entry cannot be decoded",
    ),
    "ordering.md": (
        "Partitions, and the order of a conversation",
        "What a conversation is",
        "Partitions",
        "Which worker handles which stream",
    ),
    "failover.md": ("What is promised", "What happens in a failover"),
    "security.md": ("Redis", "An agent at the queue: threats and defences"),
}
"""The pages, and their sections in which every sentence is proven or explains another."""


class Sentence(NamedTuple):
    """A sentence of a page, or a row of a table."""

    page: str
    section: str
    text: str


class Proof(NamedTuple):
    """A test that names a sentence."""

    test: str
    said: str


def sentences() -> list[Sentence]:
    """What the pages promise and explain, in their order."""
    return [
        Sentence(page, section, text)
        for page, sections in PAGES.items()
        for section in sections
        for text in _of_section((ROOT / "docs" / page).read_text("utf-8"), section)
    ]


def _of_section(page: str, section: str) -> Iterator[str]:
    page = re.sub(r"^(```|~~~).*?^\1$", "", page, flags=re.MULTILINE | re.DOTALL)
    parts = re.split(r"^#+ (.+)$", page, flags=re.MULTILINE)
    body = dict(zip(parts[1::2], parts[2::2], strict=True))[section]
    for block in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. |\|)", body):
        words = " ".join(block.split())
        if words.startswith("|"):
            if not re.fullmatch(r"[|\s:-]+", words) and not _is_head(words, body):
                yield _plain(": ".join(cell.strip() for cell in words.strip("|").split("|")))
        elif words:
            yield from re.split(r"(?<=[.!?])\s+(?=[A-Z`\"'(])", _plain(words))


def _is_head(row: str, body: str) -> bool:
    lines = [" ".join(line.split()) for line in body.splitlines()]
    at = lines.index(row)
    return at + 1 < len(lines) and re.fullmatch(r"\|[|\s:-]+", lines[at + 1]) is not None


def _plain(words: str) -> str:
    """Without marks for lists, links and emphasis, and without what an item is called."""
    words = re.sub(r"^(?:[-*]|\d+\.) (?:\*\*[^*]+\.\*\* )?", "", words)
    words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", words)
    return re.sub(r"\*\*?(?=\S)(.+?)\*\*?", r"\1", words).strip()


def explained() -> list[str]:
    """Sentences that promise nothing: how and why it is so, what to do, what others do."""
    lines = (Path(__file__).parent / "explained.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def proofs() -> list[Proof]:
    """The tests that name a sentence."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text("utf-8")
        for node in ast.parse(text).body if "promise(" in text else ():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                test = f"{path.relative_to(ROOT)}::{node.name}"
                found += [Proof(test, said) for mark in node.decorator_list if (said := _promised(mark))]
    return found


def _promised(mark: ast.expr) -> str | None:
    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.promise":
        return str(ast.literal_eval(mark.args[0]))
    return None


def find(said: str, among: list[Sentence]) -> list[Sentence]:
    """The sentences that hold these words."""
    return [sentence for sentence in among if said in sentence.text]
