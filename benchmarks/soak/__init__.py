"""What very much costs: a million events, a hundred thousand that are pending, and as many dead letters."""
