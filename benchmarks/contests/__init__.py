"""The contests of `benchmarks/side_by_side.py`, by name, each made when its turn comes."""

from collections.abc import Callable, Iterator
from importlib import import_module

from contests.measuring import Contest
from contests.sizes import Sizes

NAMES = (
    "iteration",
    "exact",
    "first_order",
    "discounted",
    "perfect_information",
    "large_actions",
    "stepping",
    "gap",
)


def find(name: str) -> Callable[[Sizes], Iterator[Contest]]:
    """The function that makes the contests of one name."""
    return import_module(f"contests.{name}").contests
