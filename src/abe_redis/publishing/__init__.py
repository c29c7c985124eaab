"""From `publish()` into Redis, or onto disk while Redis is away: the only place that accepts events."""
