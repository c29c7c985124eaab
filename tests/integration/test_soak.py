"""The soak does what it says, and counts it."""

from benchmarks.soak.__main__ import BEGIN, END, markdown
from benchmarks.soak.steps import soak
from tests.integration.test_sizing import PAGE
from tests.servers import Server


async def test_each_step_of_a_soak_is_done_and_counted(own_server: Server) -> None:
    costs = [cost async for cost in soak(own_server, events=60, pending=30, dead=10)]
    assert [cost.events for cost in costs] == [60, 60, 30, 30, 10, 10, 10, 10, 10]
    assert all(cost.commands > 0 for cost in costs)
    with own_server.admin() as client:
        assert client.xlen("dead:{slack_events}") == 0, "all were redriven"
        (group,) = client.xinfo_groups("slack_events")
        assert (group["pending"], group["lag"]) == (0, 0), "and handled"
    table = markdown("A server", costs).splitlines()
    assert len([line for line in table if line.startswith("| ")]) == 2 + len(costs)


def test_the_page_has_a_place_for_it() -> None:
    assert PAGE.index(BEGIN) < PAGE.index(END)
