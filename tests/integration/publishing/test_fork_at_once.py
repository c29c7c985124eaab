"""A process forks while threads of a back end are in the middle of something that a child cannot end."""

from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.integration.publishing.forking_scripts import published, script

pytestmark = [
    pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no forks"),
    pytest.mark.one_server,
]

# Modules that another thread than the main one imports take long, so that each fork happens meanwhile.
SLOW_IMPORTS = """
import signal, threading

class Slow:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread() and os.getpid() == parent:
            time.sleep(0.1)

parent = os.getpid()

def of_child(backend, number):
    signal.alarm(30)  # instead of hanging for ever
    backend.publish("slack_events", {"by": f"child {number}", "n": 0})
"""


async def test_a_sync_back_end_that_forwards_from_its_start_publishes_in_children(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """As under `gunicorn --preload`, which forks as soon as the module with the back end is loaded."""
    script(
        SLOW_IMPORTS + "from abe_redis import SyncBackend\n"
        "kept = SyncBackend(Settings(redis_url='redis://127.0.0.1:1', redis_outbox='outbox.db'))\n"
        "kept.publish('slack_events', {'by': 'before', 'n': 0})\n"
        "kept.close()\n",
        cwd=tmp_path,
    )
    script(
        SLOW_IMPORTS
        + """
from abe_redis import SyncBackend
sys.meta_path.insert(0, Slow())
backend = SyncBackend(Settings(redis_url=sys.argv[1], redis_outbox="outbox.db"))
wait_for(in_children(2, lambda number: of_child(backend, number)))
while backend.outbox_size().waiting:
    time.sleep(0.05)
backend.close()
""",
        redis_url,
        cwd=tmp_path,
    )
    assert await published(redis) == Counter([("before", 0), ("child 0", 0), ("child 1", 0)])


async def test_a_process_forks_while_a_thread_publishes_for_the_first_time(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """By a back end in a loop of that thread, which imports what it needs."""
    script(
        SLOW_IMPORTS
        + """
sys.meta_path.insert(0, Slow())
backend = RedisMessageQueueBackend(Settings(redis_url=sys.argv[1], redis_outbox="outbox.db"))
first = threading.Thread(target=lambda: asyncio.run(publish(backend, "parent", 1)))
first.start()
def child(number):
    signal.alarm(30)
    asyncio.run(publish(backend, f"child {number}", 1))
children = []
for number in range(8):
    time.sleep(0.05)
    children += in_children(1, lambda _: child(number))
first.join()
wait_for(children)
""",
        redis_url,
        cwd=tmp_path,
    )
    assert await published(redis) == Counter([("parent", 0), *((f"child {child}", 0) for child in range(8))])


async def test_a_child_forks_without_waiting_for_a_thread_that_only_its_parent_has(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """Before and after it publishes itself."""
    script(
        SLOW_IMPORTS
        + """
from abe_redis import SyncBackend
from abe_redis.runtime import fork_rest
fork_rest.MOST_SECONDS = 3600.0
backend = SyncBackend(Settings(redis_url=sys.argv[1]))
backend.publish("slack_events", {"by": "parent", "n": 0})
def child(number):
    wait_for(in_children(1, lambda _: of_child(backend, "of a child")))
    of_child(backend, number)
    wait_for(in_children(1, lambda _: of_child(backend, "of a child that published")))
def watched(number):
    signal.alarm(60)  # instead of an hour
    child(number)
wait_for(in_children(1, watched))
backend.close()
""",
        redis_url,
        cwd=tmp_path,
    )
    who = ("parent", "child of a child", "child 0", "child of a child that published")
    assert await published(redis) == Counter((by, 0) for by in who)


async def test_a_fork_in_a_signal_handler_fails_the_publish_that_it_interrupts(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """In the child alone: it has no thread that could answer."""
    said = script(
        SLOW_IMPORTS
        + """
from abe_redis import SyncBackend
from abe_redis.errors import ForkedError
backend = SyncBackend(Settings(redis_url=sys.argv[1]))
children = []
def fork(*_):
    children.append(os.fork())
    signal.alarm(0 if children[0] else 30)
signal.signal(signal.SIGALRM, fork)
stop = time.monotonic() + 20
signal.setitimer(signal.ITIMER_REAL, 0.5)
try:
    while not children and time.monotonic() < stop:
        backend.publish("slack_events", {"by": "anybody", "n": 0})
except ForkedError:
    of_child(backend, 1)
if children[0] == 0:
    os._exit(0)
wait_for(children)
say(done=True)
""",
        redis_url,
        cwd=tmp_path,
    )
    assert said == [{"done": True}]


async def test_a_signal_handler_publishes_while_it_interrupts_a_publish(
    redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    said = script(
        """
import signal
from abe_redis import SyncBackend
backend = SyncBackend(Settings(redis_url=sys.argv[1]))
sent = {"handler": 0, "main": 0}
def send(by):
    backend.publish("slack_events", {"by": by, "n": sent[by]})
    sent[by] += 1
def handler(*_):
    send("handler")
    signal.setitimer(signal.ITIMER_REAL, 0.0005)  # anew when this is over: none interrupts another
signal.signal(signal.SIGALRM, handler)
send("main")
signal.setitimer(signal.ITIMER_REAL, 0.0005)
stop = time.monotonic() + 4
while time.monotonic() < stop or min(sent.values()) <= 10:
    send("main")
signal.setitimer(signal.ITIMER_REAL, 0)
backend.close()
say(**sent)
""",
        redis_url,
        cwd=tmp_path,
    )
    assert min(said[0].values()) > 10
    assert await published(redis) == Counter((by, n) for by, count in said[0].items() for n in range(count))
