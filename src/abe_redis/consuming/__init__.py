"""From Redis to the caller of `consume()`: the only place that leases, delivers and settles events."""
