"""A terminal of a chosen size, with a keyboard, whose screen can be read."""

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.patience import PATIENCE


class Terminal:
    """One command in a tmux of its own."""

    def __init__(
        self,
        tmux: str,
        directory: Path,
        command: list[str],
        variables: Mapping[str, str],
        *,
        size: tuple[int, int],
    ) -> None:
        self._tmux = [tmux, "-S", str(directory / "tmux.socket"), "-f", "/dev/null"]
        width, height = size
        given = [f"{name}={value}" for name, value in variables.items()]
        # The shell stays, so that what a command leaves on the screen can be read, and its exit code.
        script = f'trap : INT; {shlex.join(["env", *given, *command])}; echo "<exit $?>"; exec sleep 600'
        self._do("new-session", "-d", "-x", str(width), "-y", str(height), "sh", "-c", script)

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names for them."""
        self._do("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Change the terminal's size."""
        self._do("resize-window", "-x", str(width), "-y", str(height))

    def screen(self, *, colours: bool = False) -> str:
        """What stands on the screen now."""
        return self._do("capture-pane", "-p", *(["-e"] if colours else []))

    def wait(self, *words: str, without: str = "") -> str:
        """Wait until the screen shows all these words, and return it."""
        return self.wait_for(
            lambda screen: all(word in screen for word in words) and not (without and without in screen),
            f"{words} without {without!r}" if without else str(words),
        )

    def wait_for(self, condition: Callable[[str], object], what: str) -> str:
        """Wait until the screen is as it should be, and return it."""
        deadline = time.monotonic() + PATIENCE
        while not condition(screen := self.screen()):
            assert time.monotonic() < deadline, f"waited for {what} in vain:\n{screen}"
            time.sleep(0.05)
        return screen

    def exit_code(self) -> int:
        """Wait until the command has ended."""
        screen = self.wait("<exit ")
        found = re.search(r"<exit (\d+)>", screen)
        assert found is not None
        return int(found[1])

    def close(self) -> None:
        """End everything in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _do(self, *words: str) -> str:
        return subprocess.run(
            [*self._tmux, *words], check=True, capture_output=True, text=True, env={"LC_ALL": "C.UTF-8"}
        ).stdout
