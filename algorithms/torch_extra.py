"""PyTorch, which only the neural part needs: imported where it is used, and asked for by name."""

from typing import Any


def need_torch(where: str) -> Any:
    """The module `torch`; ImportError, naming the extra, where it is not installed."""
    try:
        import torch
    except ImportError:
        missing = "needs packages that are not here: pip install 'metamarl[torch]'."
        raise ImportError(f"{where} {missing}") from None
    return torch
