"""What a return is, what may happen to it, and who makes it happen."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mcfd")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"
