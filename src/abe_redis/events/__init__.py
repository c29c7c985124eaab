"""What an event is: the only place that knows the wire format and Slack's payloads."""
