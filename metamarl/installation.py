"""What is installed."""


def installed() -> str:
    """The version of metamarl, or "unknown" in a bare clone."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("metamarl")
    except PackageNotFoundError:
        return "unknown"
