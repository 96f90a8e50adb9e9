"""PyTorch, which only the neural part needs: imported where it is used, and asked for by name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from metamarl.envs.checks import complaint


def need_torch(where: str) -> Any:
    """The module `torch`; ImportError, naming the extra, where it is not installed."""
    try:
        import torch
    except ImportError:
        missing = "needs packages that are not here: pip install 'metamarl[torch]'."
        raise ImportError(f"{where} {missing}") from None
    return torch


def find_device(device: Any, where: str) -> str:
    """Where tensors are put, in PyTorch's words: "cpu", "cuda", "cuda:1" and so on.

    Args:
        device: such a name, a `torch.device`, or "auto": CUDA where it is there, else the CPU.
        where: the function that errors name.

    Raises:
        TypeError, ValueError: no device, one that is not here, or one without double precision.
        ImportError: without torch.
    """
    torch = need_torch(where)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if isinstance(device, str) and device == "auto":
        return "cuda" if count else "cpu"
    here = ["'cpu'", *["'cuda'"][:count], *(f"'cuda:{k}'" for k in range(count))]
    must = f"'auto' or a device that PyTorch finds here ({', '.join(here)})"
    if not isinstance(device, (str, torch.device)):
        raise TypeError(complaint("device", where, must, device))
    try:
        place = torch.device(device)
        torch.zeros(1, dtype=torch.float64, device=place).item()
    except (AssertionError, ImportError, RuntimeError, TypeError) as error:
        raise ValueError(complaint("device", where, must, str(device))) from error
    return "cpu" if place.type == "cpu" else str(place)


def is_state(weights: Any) -> bool:
    """Whether these are tensors by name, as a `state_dict` has them."""
    import torch

    return isinstance(weights, Mapping) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    )


def digest_of(weights: Mapping[str, Any]) -> str:
    """SHA-256 of tensors by name, wherever they are; alike on machines of one byte order."""
    import torch

    found = sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        found.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


@contextmanager
def one_thread(device: str = "cpu") -> Iterator[None]:
    """On a CPU, sums of small tensors in one order, whoever computes them, and no slower."""
    torch = need_torch("one_thread")
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
