"""Several real servers that belong together: a primary behind Sentinels, and a cluster."""

from tests.topologies.cluster import Cluster as Cluster
from tests.topologies.sentinels import Sentinels as Sentinels
from tests.topologies.together import wait_until as wait_until
