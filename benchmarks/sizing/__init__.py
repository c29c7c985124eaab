"""What many workspaces cost, measured and modelled: `python -m benchmarks.sizing`, or `make sizing`.

actors.py   processes that publish at a given rate, and workers
trial.py    one trial: so many primaries, workers and events a second, and what it cost
model.py    what a deployment needs, from what trials cost; and how far that is from other trials
report.py   the tables of docs/scaling.md
"""
