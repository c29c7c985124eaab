"""Metrics for Prometheus: the collectors, and the port that serves them."""
