"""How large the contests are."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the command line says of sizes."""

    seed: int = 0
    quick: bool = False
    """Small arrays and few rounds: to see that everything works."""
    large: bool = False
    """Also what takes minutes: one linear program per stage game, in Python, of 5000."""
    torch_compile: bool = False

    @property
    def rounds(self) -> int:
        """At most."""
        return 3 if self.quick else 9

    @property
    def budget(self) -> float:
        """Seconds for every contestant."""
        return 0.3 if self.quick else 2.0
