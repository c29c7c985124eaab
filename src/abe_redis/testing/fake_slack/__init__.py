"""A Slack on a loopback port: its Web API, Socket Mode and the posts of its Events API, for tests of bots."""
