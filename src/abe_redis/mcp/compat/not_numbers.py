"""NaN and infinity, which JSON has no word for though many parsers take them."""

from mcp.types import JSONRPCRequest

from abe_redis.mcp.compat.sdk_line import SDK_2


def keep_not_numbers() -> None:
    """Let them reach us in the arguments of a call, to be refused: 1.x of the SDK makes them null in silence.

    It does so while it hands on a request that it has parsed, by a rule that its type can be given.
    """
    if not SDK_2:
        JSONRPCRequest.model_config["ser_json_inf_nan"] = "constants"
        JSONRPCRequest.model_rebuild(force=True)
