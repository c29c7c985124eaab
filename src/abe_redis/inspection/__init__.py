"""What state the streams are in: the only place that judges their health."""
