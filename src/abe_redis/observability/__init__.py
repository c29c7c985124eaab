"""Logs, metrics and traces, and the hooks that feed them: the only place that reports to the outside."""
