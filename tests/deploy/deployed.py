"""What deploy/ has: its files, our programs in them, and their images."""

from typing import Any

from tests.deploy.reading import (
    manifests,
    programs,
)

OURS = [program for program in programs() if program.command[0] == "abe-redis"]


def everything(key: str) -> list[Any]:
    """What stands under a key anywhere in the manifests."""

    def within(node: Any) -> list[Any]:
        if isinstance(node, list):
            return [found for one in node for found in within(one)]
        if not isinstance(node, dict):
            return []
        return [value for name, value in node.items() if name == key] + within([*node.values()])

    return within([one for _, one in manifests()])
