"""NaN and infinity, which JSON does not have, although many parsers accept them."""

from mcp.types import JSONRPCRequest

from abe_redis.mcp.sdk_line import SDK_2


def keep_not_numbers() -> None:
    """Keep them in the arguments of a call, so that we can refuse them: SDK 1.x turns them into null.

    It does so when it passes a parsed request on, by a setting of the request's type.
    """
    if not SDK_2:
        JSONRPCRequest.model_config["ser_json_inf_nan"] = "constants"
        JSONRPCRequest.model_rebuild(force=True)
