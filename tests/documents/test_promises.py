"""Every sentence that the docs promise names its proof, and every proof a sentence that is there."""

from functools import cache

import pytest

from tests.promises import PAGES, Proof, Sentence, explained, find, proofs, sentences


@cache
def all_sentences() -> list[Sentence]:
    """Read when a test runs: every worker of the tests imports this file, and one or two run its tests."""
    return sentences()


@cache
def all_proofs() -> list[Proof]:
    return proofs()


@pytest.mark.parametrize("page", PAGES)
def test_every_sentence_is_proven_or_explains_another(page: str) -> None:
    proven = {sentence for proof in all_proofs() for sentence in find(proof.said, all_sentences())}
    explaining = {
        sentence for said in explained() for sentence in all_sentences() if sentence.text.startswith(said)
    }
    assert proven & explaining == set()
    theirs = [sentence for sentence in all_sentences() if sentence.page == page]
    unproven = [sentence.text for sentence in theirs if sentence not in proven | explaining]
    assert unproven == [], "mark a test with @pytest.mark.promise, or list it in tests/promises/explained.txt"


def test_every_proof_is_of_one_sentence_that_is_there() -> None:
    assert all_proofs()
    assert [proof for proof in all_proofs() if len(find(proof.said, all_sentences())) != 1] == []


def test_every_explanation_is_there() -> None:
    begun = {said: [one for one in all_sentences() if one.text.startswith(said)] for said in explained()}
    assert [said for said, found in begun.items() if len(found) != 1] == []


def test_a_sentence_ends_where_it_ends_and_a_row_is_one() -> None:
    texts = [sentence.text for sentence in all_sentences()]
    assert 'A new group starts at the oldest event, never at "now".' in texts
    assert any(text.startswith("a worker dies: ") for text in texts)
    assert not [text for text in texts if text.startswith(("Event: ", "- ", "|")) or "**" in text]
    assert len(set(all_sentences())) == len(all_sentences())
    assert (
        Sentence("security.md", "Redis", "Sentinels get their own credentials, never those for the servers.")
        in all_sentences()
    )
