"""The demo, act by act. It prints no claim that it has not checked."""

import json
import math
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc

from abe_redis.cli.demo import agent, bolt, slack, stage, workers
from abe_redis.cli.demo.terminal import DemoError, Story
from abe_redis.cli.demo.worker import GROUP, LONG_TASK
from abe_redis.cli.failure import interrupted
from abe_redis.errors import AbeRedisError

STREAM = "slack_events"
EVENTS = 200
RETRIED = 10
MORE_EVENTS = 20


def play(*, keep: bool, seconds: float) -> int:
    """Run the demo and return the exit code."""
    return anyio.run(_play_until_a_signal, Play(seconds, keep=keep))


async def _play_until_a_signal(show: "Play") -> int:
    failures: list[Exception] = []
    came: list[signal.Signals] = []
    performance = anyio.CancelScope()

    async def watch_signals(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        # It watches while the processes end, too: a second Ctrl-C must not leave one behind.
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            task_status.started()
            async for number in signals:
                came.append(number)
                performance.cancel()

    async with anyio.create_task_group() as tasks:
        await tasks.start(watch_signals)
        with performance:
            try:
                await show.perform()
            except* (DemoError, AbeRedisError, OSError) as group:
                failures = _leaves(group)
        tasks.cancel_scope.cancel()
    if failures:
        sys.stderr.write(f"abe-redis: {failures[0]}\n")
        return 1
    if came and not show.complete:
        interrupted("Interrupted; everything that the demo had started was ended.")
        return 128 + came[0]
    return 0


def _leaves(group: ExceptionGroup[Exception]) -> list[Exception]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, ExceptionGroup) else [error])
    ]


class Play:
    """The acts, and the state that they share."""

    def __init__(self, seconds: float, *, keep: bool) -> None:
        self.complete = False
        """True once all acts have run."""
        self._seconds = seconds
        self._keep = keep
        self._story = Story()
        self._posted: list[str] = []
        self._finished: Counter[str] = Counter()
        self._by_worker: dict[str, int] = {}
        self._recovery_seconds = math.nan
        self._waiting_for: Callable[[], str] = lambda: stage.SERVER

    async def perform(self) -> None:
        """Run all acts; with `keep`, stay afterwards until cancelled.

        Raises:
            DemoError: A claim does not hold, or something takes too long.
            EmbeddedServerError: The server could not be started.
        """
        began = time.monotonic()
        with anyio.move_on_after(self._seconds) as limit:
            self._story.act("A Redis, and the real Slack MCP Server with REDIS_URL=embedded://...")
            async with stage.set_up() as self._stage:
                self._waiting_for = lambda: self._stage.waiting_for
                stats = await self._acts()
                limit.deadline = math.inf
                self._sum_up(stats, time.monotonic() - began)
                self.complete = True
                if self._keep:
                    self._stage.kept = True
                    self._explain_use()
                    await anyio.sleep_forever()
            return
        raise DemoError(
            f"The demo did not end within {self._seconds:g} seconds; it was waiting for "
            f"{self._waiting_for()}."
        )

    async def _acts(self) -> dict[str, Any]:
        async with slack.webhook(self._stage) as self._slack:
            self._story.check("slack-webhook-server listens in a process of its own", holds=True)
            status = await self._slack.post(slack.mention("let me in"), forged=True)
            self._story.check("an event that Slack did not sign is refused", status == 401, status)  # noqa: PLR2004
            async with workers.running(self._stage, "worker A", "worker B") as both:
                await self._share_the_work(both)
                await self._lose_a_worker(both)
            for worker in both:
                self._finished.update(worker.finished)
                self._by_worker[worker.name] = worker.finished.total()
            async with bolt.behind_the_scene(self._stage) as act:
                stats = await self._let_an_agent_work()
                if act is None:
                    self._story.tell(bolt.MISSING)
                else:
                    await act.perform(self._stage, self._story)
            return stats

    async def _share_the_work(self, both: list[workers.Worker]) -> None:
        story = self._story
        story.act(f"Slack posts {EVENTS} events; two workers of one group share them")
        mentions = [self._mention(f"question {number}") for number in range(1, EVENTS + 1)]
        with story.progress("posted by Slack ", "done by worker A", "done by worker B", total=EVENTS) as bars:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._slack.deliver, mentions, bars[0])

                def all_done() -> bool:
                    for worker, show in zip(both, bars[1:], strict=True):
                        show(worker.finished.total())
                    return self._unfinished(both) == 0

                await self._until(all_done, "the workers to process the events", both)
        story.check(
            "both of them worked",
            all(worker.finished for worker in both),
            [worker.finished.total() for worker in both],
        )
        await self._slack.deliver(mentions[:RETRIED], retry=True)
        story.tell(f"Slack has sent {RETRIED} of the events again, as it does when an answer was late.")

    async def _lose_a_worker(self, both: list[workers.Worker]) -> None:
        story = self._story
        story.act("A worker dies at work: kill -9")
        task = self._mention(LONG_TASK)
        event_id = task["event_id"]
        await self._slack.deliver([task])
        await self._until(
            lambda: any(event_id in worker.took for worker in both), "a worker to take the long task", both
        )
        dead, alive = sorted(both, key=lambda worker: event_id not in worker.took)
        dead.child.process.kill()
        killed_at = time.monotonic()
        code = await dead.child.process.wait()
        story.check(f"{dead.name} was killed while it worked on {event_id}", code == -signal.SIGKILL, code)
        await self._slack.deliver([self._mention(f"more {number}") for number in range(MORE_EVENTS)])
        await self._until(
            lambda: event_id in alive.took, "the event of the dead worker to be picked up", [alive]
        )
        taken = alive.took[event_id]
        self._recovery_seconds = taken.at - killed_at
        story.check(
            f"{alive.name} picked it up after {self._recovery_seconds:.1f} s (delivery {taken.deliveries}; "
            f"a lease lasts {stage.LEASE_SECONDS:g} s here)",
            taken.deliveries == 2 and event_id not in dead.finished,  # noqa: PLR2004
            taken,
        )
        await self._until(lambda: self._unfinished(both) == 0, "everything to be processed", [alive])
        story.check(
            f"{alive.name} finished it, and {MORE_EVENTS} that came meanwhile", alive.finished[event_id] == 1
        )
        await alive.child.end()
        left = alive.child.process.returncode
        story.check(f"{alive.name} stopped in order at SIGTERM", left == 0, left)

    async def _let_an_agent_work(self) -> dict[str, Any]:
        story, mention = self._story, self._mention("what did we decide on Monday?")
        story.act("No worker is left; an agent takes over, through MCP")
        await self._slack.deliver([mention])
        async with agent.connected(self._stage) as client:
            self._stage.waiting_for = "the MCP server's answers"
            tools = await client.tools()
            story.check(
                f"`abe-redis mcp` offers {', '.join(sorted(tools))}",
                tools >= {"ack", "lease_events", "publish_event", "read_stream", "stream_stats"},
                tools,
            )
            stats = await client.stats(STREAM)
            story.check(
                "stream_stats: one event waits, and nobody is there to work on it",
                stats["health"] == "stalled" and stats["groups"][0]["lag"] == 1,
                stats,
            )
            looked = await client.call("read_stream", count=1, payload="whole")
            (seen,) = looked["events"]
            story.check(
                "read_stream: looks at it and changes nothing; Slack's token was left out",
                seen["untrusted_event_id"] == mention["event_id"]
                and slack.VERIFICATION_TOKEN not in json.dumps(looked),
                looked,
            )
            note = {"type": "note", "text": "look up Monday's minutes"}
            published = [
                await client.call("publish_event", payload=note, event_id="note-1") for _ in range(2)
            ]
            story.check(
                "publish_event: adds a note; called again with the same event_id, adds nothing",
                [one["duplicate"] for one in published] == [False, True]
                and published[0]["id"] == published[1]["id"],
                published,
            )
            leased = await client.call("lease_events", group=GROUP)
            ids = [event["id"] for event in leased["events"]]
            story.check(
                "lease_events: takes both",
                leased["mode"] == "lease" and ids == [seen["id"], published[0]["id"]],
                leased,
            )
            stats = await client.stats(STREAM)
            story.check("stream_stats: both are pending", stats["groups"][0]["pending"] == len(ids), stats)
            question = await client.refused("ack", stream=STREAM, group=GROUP, ids=ids)
            story.check(
                "ack: asks for the user's agreement, since workers share this group",
                "agreement" in question,
                question,
            )
            acked = await client.call("ack", stream=STREAM, group=GROUP, ids=ids, confirm=True)
            story.check("ack, when the user has agreed: both are done", acked["acked"] == ids, acked)
            self._finished.update([mention["event_id"]])
            return await client.stats(STREAM)

    def _sum_up(self, stats: dict[str, Any], seconds: float) -> None:
        story, (group,) = self._story, stats["groups"]
        story.act("The result")
        lost = [event_id for event_id in self._posted if not self._finished[event_id]]
        twice = [event_id for event_id, times in self._finished.items() if times > 1]
        story.check("every event was processed, none was lost", not lost, lost)
        story.check(
            "none was processed twice, although Slack repeated some and a worker died", not twice, twice
        )
        story.check(
            "nothing waits, nothing is pending, nothing was given up on",
            (group["pending"], group["lag"], stats["dead_letters"]) == (0, 0, 0),
            stats,
        )
        entries = len(self._posted) + 1  # and the agent's note
        story.check("what Slack sent again was not added again", stats["length"] == entries, stats["length"])
        story.table(
            f"Done in {seconds:.1f} seconds",
            {
                "events posted by Slack": len(self._posted),
                "... sent again by Slack": RETRIED,
                **{f"processed by {name}": done for name, done in self._by_worker.items()},
                "processed by the agent": 1,
                "lost": len(lost),
                "processed twice": len(twice),
                "dead letters": stats["dead_letters"],
                "seconds until the dead worker's event was picked up": f"{self._recovery_seconds:.1f}",
            },
        )

    def _explain_use(self) -> None:
        command = Path(sys.executable).with_name("abe-redis")
        program = [str(command)] if command.exists() else [sys.executable, "-m", "abe_redis"]
        url = self._stage.redis_url
        entry = {"command": program[0], "args": [*program[1:], "mcp"], "env": {"REDIS_URL": url}}
        story = self._story
        story.act("The embedded server stays, until you press Ctrl-C")
        story.tell("For Claude Desktop, Claude Code, Cursor or VS Code, in mcp.json:")
        story.paste(json.dumps({"mcpServers": {"abe-redis": entry}}, indent=2))
        story.paste("In another terminal:")
        story.paste(f"export REDIS_URL={url}\nexport QUEUE_BACKEND=redis\n{' '.join(program)} stats")
        story.paste(
            "Afterwards its data stays, and whoever uses this REDIS_URL starts it again. To remove it:\n"
            f"rm -r {self._stage.directory}"
        )

    def _mention(self, text: str) -> dict[str, Any]:
        """Count an event that has to be processed."""
        envelope = slack.mention(text)
        self._posted.append(envelope["event_id"])
        return envelope

    def _unfinished(self, both: list[workers.Worker]) -> int:
        return len(set(self._posted).difference(*(worker.finished for worker in both)))

    async def _until(self, condition: Callable[[], bool], what: str, busy: list[workers.Worker]) -> None:
        await self._stage.until(condition, what, self._slack.webhook, *(worker.child for worker in busy))
