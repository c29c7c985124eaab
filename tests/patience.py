"""How long tests wait: for a condition, never for a time in which it should have come true."""

PATIENCE = 120.0
"""Seconds for what takes a few on an idle machine. Only a test that fails waits so long; it is far below
pytest's own limit, so that the failure says what did not happen."""
