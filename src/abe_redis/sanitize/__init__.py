"""Untrusted text made safe to show: the only place that masks secrets and reveals invisible characters."""
