"""How to install an extra of abe-redis."""

_REPOSITORY = "git+https://github.com/Chisanan232/abe-redis"


def how_to_install(extra: str) -> str:
    """The command that adds an extra, from where this version can be had.

    Before its release a version is in the repository alone, and PyPI has older ones without the extra.
    """
    from importlib.metadata import version  # noqa: PLC0415 - it imports the parser of e-mail

    ours = version("abe-redis")
    where = f" @ {_REPOSITORY}" if "dev" in ours else f"=={ours}"
    return f'pip install "abe-redis[{extra}]{where}"'
