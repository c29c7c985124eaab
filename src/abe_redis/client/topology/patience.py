"""How many redirections and retries of a command in a cluster are followed, while a slot moves."""

from dataclasses import dataclass

from redis import exceptions

DETOURS = 16
"""Most redirections of a command, one after the other, before the last answer counts."""

TRIES = 250
"""Most retries: a command on several keys of a slot must wait until the slot has moved."""


@dataclass(slots=True)
class Patience:
    """The remaining redirections and retries of one command."""

    detours: int = DETOURS
    tries: int = TRIES

    def is_left_for(self, error: Exception) -> bool:
        """Whether to continue after this failure."""
        if isinstance(error, exceptions.AskError):  # MOVED is one, too
            self.detours -= 1
            return self.detours >= 0
        if isinstance(error, exceptions.TryAgainError):
            # The next round begins at the owner, whose ASK leads to the same node again: that is no circle.
            self.tries, self.detours = self.tries - 1, DETOURS
            return self.tries >= 0
        return False
