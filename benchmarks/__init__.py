"""The same work done by abe-redis and by what one would use instead: `python -m benchmarks`, or `make bench`.

contestants.py   who is measured, in which version, and what each does less or more
payload.py       the Slack envelope that all of them carry
peers/           one small program per contestant: how it publishes, how it consumes
side.py          what these programs have in common: they work as a line on stdin says, and time it
arena.py         the one server, and the contestants' processes beside it
ledger.py        what the server says: is all published, is all done?
workloads/       publish, consume, latency, scaling, and the server's own limit
course.py        what is one turn of it; plan.py how much, and how often
run.py           the rounds, interleaved
clients.py       how long clients of one MCP server wait for each other
results.py       what was measured; report.py tables of it, chart.py bars
"""
