"""Metrics for Prometheus: what is counted, and the port at which it is shown."""
