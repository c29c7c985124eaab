"""Logs, metrics and traces, and the hooks where they watch: the only place that reports to the outside."""
