"""What others see of a running queue: tracing (OpenTelemetry), metrics and their exposition (Prometheus)."""
