"""The base of all results: what pydantic needs to check and write one is made on its first use.

Making it costs more time than the rest of the module, and most processes use few of the results.
"""

from pydantic import BaseModel, ConfigDict


class DeferredModel(BaseModel):
    """A model that costs little until it is used."""

    model_config = ConfigDict(defer_build=True)
