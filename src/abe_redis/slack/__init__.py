"""The only place for the doors to Slack: HTTP, Socket Mode, Bolt apps as handlers, Slack's limits."""
