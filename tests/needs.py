"""What tests need of the machine."""

import os

import pytest


def needed[Found](found: Found | None, otherwise: str) -> Found:
    """What was found; without it, CI fails and others are told what they miss."""
    if found is not None:
        return found
    if os.environ.get("CI"):
        pytest.fail(otherwise)
    pytest.skip(otherwise)
