"""A cluster without replicas, of which the other nodes go on when one is away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.topologies import Cluster


class PartialCluster(Cluster):
    OPTIONS = Cluster.OPTIONS | {"cluster-require-full-coverage": "no", "appendonly": "yes"}


@pytest.fixture
def cluster(binary: Path) -> Iterator[Cluster]:
    with PartialCluster(binary, replicas=False) as running:
        yield running
