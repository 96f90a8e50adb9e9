"""PyTorch, which only the neural part needs: imported where it is used, and asked for by name."""

from typing import Any

from metamarl.envs.checks import check_choice, complaint

DEVICES = ("auto", "cpu", "cuda")


def need_torch(where: str) -> Any:
    """The module `torch`; ImportError, naming the extra, where it is not installed."""
    try:
        import torch
    except ImportError:
        missing = "needs packages that are not here: pip install 'metamarl[torch]'."
        raise ImportError(f"{where} {missing}") from None
    return torch


def find_device(device: str, where: str) -> str:
    """Return "cpu" or "cuda" for one of `DEVICES`; "auto" takes CUDA where it is there."""
    torch = need_torch(where)
    check_choice(device, "device", where, DEVICES)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        must = "'cpu' or 'auto' where PyTorch finds no CUDA device"
        raise ValueError(complaint("device", where, must, device))
    return device
