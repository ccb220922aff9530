"""What a return is, what may happen to it, and who makes it happen."""

__version__: str


def __getattr__(name: str) -> str:
    """Look up the version only when it is asked for: the lookup takes as long as the rest of a short command."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - see above

    try:
        return version("mcfd")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+unknown"
