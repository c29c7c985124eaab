"""The only place for the doors to Slack itself: HTTP and Socket Mode, Bolt apps as handlers, Slack's limits."""
