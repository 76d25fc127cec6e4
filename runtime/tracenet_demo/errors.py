"""What can go wrong with the demo apart from its bundle."""

from tracenet_runtime.errors import TraceNetError


class DemoError(TraceNetError):
    """The page is not built, or the address cannot be served on."""
