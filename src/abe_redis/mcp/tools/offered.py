"""All tools of one server."""

from abe_redis.mcp.tools.health import HealthTools
from abe_redis.mcp.tools.leasing import LeasingTools
from abe_redis.mcp.tools.publishing import PublishingTools
from abe_redis.mcp.tools.reading import ReadingTools
from abe_redis.mcp.tools.redriving import RedrivingTools


class Tools(ReadingTools, LeasingTools, PublishingTools, RedrivingTools, HealthTools):
    """The tools of one server."""
