"""`python -m tests.promises`: the promises of the docs, each with the tests that prove it."""

import sys
from itertools import groupby

from tests.promises import find, proofs, sentences


def main() -> None:
    """Print them, page by page."""
    every = sentences()
    proven = [(sentence, proof.test) for proof in proofs() for sentence in find(proof.said, every)]
    for page, theirs in groupby(every, key=lambda sentence: sentence.page):
        sys.stdout.write(f"\ndocs/{page}\n")
        for sentence in theirs:
            if tests := [test for one, test in proven if one == sentence]:
                sys.stdout.write(f"\n  {sentence.text}\n" + "".join(f"    {test}\n" for test in tests))


if __name__ == "__main__":
    main()
