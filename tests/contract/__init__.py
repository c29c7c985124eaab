"""What every back end promises, whatever stands behind it: the same tests on Redis and in memory."""
