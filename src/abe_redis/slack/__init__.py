"""The doors to Slack itself: receiving over HTTP and Socket Mode, Bolt apps as handlers, Slack's limits."""
