"""Handlers with concurrency, retries and burial: the only place that says what a failure means."""
