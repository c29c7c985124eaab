"""What a Bolt app in a worker promises, on the oldest supported release and on some behind it.

The newest is in the environment of the tests, where `tests/contract/test_bolt.py` runs anyway.
"""

from pathlib import Path

import pytest

from tests.hosts.environments import ROOT, Environment, environment

RELEASES = ("1.18.0", "1.22.0", "1.27.0")


def bolt(release: str) -> Environment:
    return environment(
        f"bolt-{release}", requirements=(f"slack-bolt=={release}", "aiohttp>=3.10", "pytest>=8.4")
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("release", RELEASES)
def test_an_older_bolt_keeps_the_contract(release: str, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\nfilterwarnings = error\n")
    test = ROOT / "tests/contract/test_bolt.py"
    arguments = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--noconftest",
        "-c",
        "pytest.ini",
        str(test),
    )
    done = bolt(release).run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
