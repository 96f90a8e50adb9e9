r"""A small network that proposes an equilibrium for a matrix, to begin a stage with.

It is one for both players and for matrices of any shape, because it is put together from what does
not depend on the order or the number of the actions. With the matrix shifted to mean 0 and scaled
to a span of 2, and player 1's matrix being minus the transpose of player 0's,

1. every row is pooled (mean, largest, smallest, root mean square; cf. the exchangeable-matrix
   layers of Hartford et al., "Deep models of interactions across sets", ICML 2018), and so are
   these over the rows; a perceptron makes a logit of it, added to the logarithm of what was played
   last;
2. K steps of optimistic mirror descent follow, unrolled (as in Gregor and LeCun, "Learning fast
   approximations of sparse coding", ICML 2010): each has a learned step size, a learned weight of
   the optimistic part and a learned weight in the average that is put out, all of which depend on
   the gap of what was played last.

So it is exactly equivariant to permutations of either player's actions and to an exchange of the
players, and invariant to shifts and positive scales of the payoffs. It is trained with torch (see
`network_training`), and runs without it, in compiled loops that cost about as much as 2K steps.
"""

import json
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl import _stage_network as kernels
from metamarl.algorithms.stage_starts import Plays, StageStart
from metamarl.envs.checks import check_integer, check_kind, complaint, said
from metamarl.envs.files import write_atomically

FORMAT = "metamarl stage network 1"
STEPS, HIDDEN = 8, 16
SHAPES = {  # K: steps, J: hidden units
    "weights": (2 * kernels.POOLS, "J"),
    "biases": ("J",),
    "readout": ("J",),
    "gate": (2,),
    "rates": ("K", 3),
    "slopes": ("K", 3),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class StageNetwork(StageStart):
    """A trained network as a `StageStart`: made by `train_network`, or read by `load`.

    At every (step, state) it takes its own proposal or the last stage's average plays, whichever
    has the smaller gap in the stage matrix, and mixes it with the uniform policy.
    """

    parameters: dict[str, NDArray[np.float64]] = field(repr=False)
    """"weights" `(8, J)`, "biases" and "readout" `(J,)` of the perceptron; "gate" `(2,)`: how far
    its logits count, as a logistic function of the logarithm t of the gap of the last plays; and of
    K steps, "rates" `(K, 3)` with "slopes" `(K, 3)` in t: the logarithms of step size and optimism,
    and the logit of the weight in the average."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "parameters", _check_parameters(self.parameters))

    @classmethod
    def untrained(cls, seed: int = 0) -> "StageNetwork":
        """What training begins with: plain optimistic steps, and a perceptron that says nothing."""
        rng = np.random.default_rng(check_integer(seed, "seed", "StageNetwork.untrained", 0))
        optimism, weight = np.full(STEPS, np.log(0.5)), np.linspace(-2.0, 1.0, STEPS)
        scale = 1.0 / np.sqrt(2 * kernels.POOLS)
        parameters = {
            "weights": rng.uniform(-scale, scale, (2 * kernels.POOLS, HIDDEN)),
            "biases": rng.uniform(-scale, scale, HIDDEN),
            "readout": np.zeros(HIDDEN),
            "gate": np.array([3.0, 1.0]),
            "rates": np.stack([np.zeros(STEPS), optimism, weight], axis=1),
            "slopes": np.zeros((STEPS, 3)),
        }
        return cls(parameters=parameters)

    def propose(self, matrices: NDArray[np.float64], plays: Plays) -> Plays:
        """See `StageStart.propose`."""
        return self._run(matrices, plays, self.caution)

    def predict(self, matrices: NDArray[np.float64], plays: Plays | None = None) -> Plays:
        """What the network itself says, mixed with nothing; from the uniform policy by default."""
        n, A, B = matrices.shape
        plays = plays or (np.full((n, A), 1.0 / A), np.full((n, B), 1.0 / B))
        return self._run(matrices, plays, -1.0)

    def _run(self, matrices: NDArray[np.float64], plays: Plays, caution: float) -> Plays:
        n, A, B = matrices.shape
        found = np.empty((n, A)), np.empty((n, B))
        kernels.propose(
            np.ascontiguousarray(matrices), *map(np.ascontiguousarray, plays),
            *(self.parameters[name] for name in SHAPES), caution, self.least, *found,
        )  # fmt: skip
        return found

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the network to one `.npz` file, for `load`; nothing of it is pickled.

        Args:
            path: the file; its folder must be there. A file of that name is replaced, at once.
        """
        check_kind(path, (str, os.PathLike), "path", "save", "a path")
        about = {"format": FORMAT, "caution": self.caution, "least": self.least}
        arrays: dict[str, Any] = {**self.parameters, "about": np.array(json.dumps(about))}

        def write(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)

        write_atomically(Path(path), write)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "StageNetwork":
        """Read what `save` wrote.

        Raises:
            ValueError: a file that is no stage network, or damaged.
            OSError: a file that cannot be read.
        """
        check_kind(path, (str, os.PathLike), "path", "StageNetwork.load", "a path")
        must = "a file that StageNetwork.save wrote"
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                if about["format"] != FORMAT:
                    raise ValueError
                parameters = {name: file[name] for name in SHAPES}
            return cls(parameters=parameters, caution=about["caution"], least=about["least"])
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
            raise ValueError(complaint("path", "StageNetwork.load", must, path)) from None


def _check_parameters(parameters: Any) -> dict[str, NDArray[np.float64]]:
    where, found, sizes = "StageNetwork", {}, dict[str, int]()
    must = f"a dict of the arrays {', '.join(SHAPES)}"
    if not isinstance(parameters, dict) or set(parameters) != set(SHAPES):
        raise ValueError(complaint("parameters", where, must, parameters))
    for name, shape in SHAPES.items():
        array = np.array(parameters[name], np.float64, order="C")
        wanted = tuple(
            size if isinstance(size, int) else sizes.setdefault(size, n)
            for size, n in zip(shape, array.shape, strict=False)
        )
        if array.shape != wanted or len(wanted) != len(shape) or not np.isfinite(array).all():
            got = said(f"{name!r} of shape {array.shape}")
            must = f"finite numbers of shapes {SHAPES}"
            raise ValueError(complaint("parameters", where, must, got))
        array.setflags(write=False)
        found[name] = array
    return found
