"""Learning by neural self-play: the door, the loop, and what it returns."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.evaluation import evaluate, nash_gap
from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import ReturnTrace, Trace
from metamarl.algorithms.torch_extra import find_device, is_state, one_thread
from metamarl.algorithms.value_span import value_span
from metamarl.envs.checks import check_integer, check_kind, complaint
from metamarl.envs.episodes import EpisodicEnvironment
from metamarl.envs.game import MarkovGame
from metamarl.envs.pettingzoo import to_pettingzoo
from metamarl.envs.state_key import core_of

if TYPE_CHECKING:
    from metamarl.algorithms.neural_policy import NeuralPolicy

WHERE = "learn"


@dataclass(frozen=True, kw_only=True)
class NeuralSolution:
    """What was learned by self-play, and where it is known, how far from equilibrium it is."""

    policy: "NeuralPolicy"
    """The last iterate: `policy.act(agent, observation, info)` plays it."""
    joint: JointPolicy | None
    """The same as arrays, in a `MarkovGame` or what `to_pettingzoo` makes of it; else None."""
    gap: float | None
    """Exact Nash gap of `joint`, in the estimate where the game is one; None where that is None."""
    relative_gap: float | None
    """`gap` divided by `value_span`, the difference between a player's best and worst value."""
    value: NDArray[np.float64] | None
    """`(n,)` exact value of `joint`."""
    steps: int
    """Steps of the environment, all copies together."""
    seconds: float
    """Wall time, measurements included, of interrupted runs before as well."""
    trace: Trace
    """The exact gap along the way, after numbers of steps; empty where it is not known."""
    returns: ReturnTrace
    """What the agents earned along the way, after numbers of steps, in any environment."""
    interrupted: bool
    """Whether Ctrl-C ended it early."""
    options: NeuralMirrorDescent
    """It was learned with."""
    losses: Mapping[str, float] = field(default_factory=dict, repr=False)
    """Of the last update, as in TensorBoard."""

    def act(
        self, agent: Any, observation: Any, info: Mapping[str, Any] | None = None,
        step: int | None = None,
    ) -> Any:  # fmt: skip
        """What `agent` does on seeing this: `self.policy.act`."""
        return self.policy.act(agent, observation, info, step)

    def __repr__(self) -> str:
        gap = "unknown" if self.gap is None else f"{self.gap:.3g} ({self.relative_gap:.3g} of span)"
        return f"NeuralSolution(gap={gap}, steps={self.steps:,}, seconds={self.seconds:.3g})"


def learn(
    env: MarkovGame | EpisodicEnvironment | Callable[[], Any],
    options: NeuralMirrorDescent | None = None,
    steps: int = 1_000_000,
    seed: int = 0,
    *,
    init: Any = None,
    folder: str | os.PathLike[str] | None = None,
    tensorboard: str | os.PathLike[str] | None = None,
    device: str = "auto",
    checks: int = 20,
    progress: bool = False,
) -> NeuralSolution:
    """Learn by self-play with networks: neural policy mirror descent.

    Games, those that `from_pettingzoo` made included, are learned in as games: players see the
    state, all move at once, and steps are array operations. So is what `to_pettingzoo` makes of
    them in parallel; other environments are stepped as they are, parallel or turn by turn, with or
    without masks, in this process. Observations are flattened (`gymnasium.spaces.utils.flatten`);
    actions must be discrete.

    On a CPU the result depends on the parameters alone, bit for bit, on machines of one kind (one
    thread is used). So does that of a run that was interrupted and called again with its folder.

    Args:
        env: a game, an environment, or a function that makes a PettingZoo environment.
        options: of the algorithm.
        steps: of the environment, all copies together, rounded down to whole updates (at least
            one).
        seed: of everything.
        init: weights to start from: a `NeuralSolution`, a `NeuralPolicy` or a `state_dict`; or a
            `LearnedStart`, of which only what adapts is learned.
        folder: for a checkpoint, from which the same call goes on; what a function is that makes an
            environment is not seen, but for a `functools.partial` with plain values.
        tensorboard: folder for TensorBoard's scalars, of this run alone: those that it already has
            of steps that are still to come are hidden.
        device: "cpu", "cuda", "cuda:1", …, or "auto": CUDA where it is there.
        checks: how often, evenly spaced, the exact gap is measured where it can be, the checkpoint
            written, and all copies are begun anew.
        progress: show progress on a terminal.

    Raises:
        TypeError, ValueError: a bad parameter, an environment that cannot be learned in, or
            `options.rollout` steps in which nobody chooses twice or comes to an end.
        ImportError: without PyTorch.
        FloatingPointError: the losses became infinite or undefined.
    """
    options = NeuralMirrorDescent() if options is None else options
    check_kind(options, NeuralMirrorDescent, "options", WHERE, "NeuralMirrorDescent options")
    steps = check_integer(steps, "steps", WHERE)
    seed = check_integer(seed, "seed", WHERE, 0)
    checks = check_integer(checks, "checks", WHERE)
    for name, place in (("folder", folder), ("tensorboard", tensorboard)):
        if place is not None:
            check_kind(place, (str, os.PathLike), name, WHERE, "a path or None")
    found = find_device(device, WHERE)
    env = as_environment(env)
    from metamarl.algorithms._learning_run import LearningRun

    with ExitStack() as held:
        held.enter_context(one_thread(found))
        run = LearningRun(env, options, steps, seed, found, checks, _find_start(init))
        held.callback(run.learner.stepper.close)
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            run.resume(Path(folder))
        writer = held.enter_context(_writer(tensorboard, run.steps))
        show = held.enter_context(_shown(progress, run.n_updates))
        interrupted = False
        try:
            for scalars in run.advance():
                show(run.updates, run.relative_gap)
                for name, number in scalars.items():
                    writer(name, number, run.steps)
        except KeyboardInterrupt:
            interrupted = True
        policy = run.policy()
        joint = run.joint_policy()
        if run.adapted is not None:
            run.adapted.merge()
    gap = None if joint is None or env.game is None else nash_gap(env.game, joint)
    return NeuralSolution(
        policy=policy,
        joint=joint,
        gap=gap,
        relative_gap=None if gap is None else run.relative(gap),
        value=None if joint is None or env.game is None else evaluate(env.game, joint),
        steps=run.steps,
        seconds=run.seconds,
        trace=run.trace(),
        returns=run.returns(),
        interrupted=interrupted,
        options=options,
        losses=run.scalars,
    )


def span_of(env: EpisodicEnvironment) -> float | None:
    """The span of values of a game that can be graded exactly; None elsewhere."""
    return value_span(env.game) if env.is_own and env.game is not None else None


def step_limit(env: EpisodicEnvironment) -> int:
    """After how many steps an episode of `to_pettingzoo` is cut off."""
    view = env.open(0)
    limit = core_of(view.env).max_steps
    view.env.close()
    return env.max_steps if limit is None else min(env.max_steps, int(limit))


def as_environment(env: Any) -> EpisodicEnvironment:
    """What `learn` takes, as an environment; TypeError, ValueError for what is none."""
    if isinstance(env, EpisodicEnvironment):
        if env.timed:
            must = "one that is not timed: let its observations hold the time"
            raise ValueError(complaint("env", WHERE, must, env))
        return env
    if isinstance(env, MarkovGame):
        game = env
        return EpisodicEnvironment(lambda: to_pettingzoo(game))
    if not callable(env):
        must = "a MarkovGame, an EpisodicEnvironment or a function that makes an environment"
        raise TypeError(complaint("env", WHERE, must, env))
    return EpisodicEnvironment(env)


def _find_start(init: Any) -> Any:
    """Weights by name; or a learned start, which knows what of them adapts; or None."""
    if init is None or (hasattr(init, "weights") and hasattr(init, "attach")):
        return init
    policy = init.policy if isinstance(init, NeuralSolution) else init
    networks = getattr(policy, "networks", None)
    weights = init if networks is None else networks.state_dict()
    if not is_state(weights):
        must = "a NeuralSolution, a NeuralPolicy, a state_dict of its networks or a LearnedStart"
        raise TypeError(complaint("init", WHERE, must, init))
    return dict(weights)


@contextmanager
def _writer(
    folder: str | os.PathLike[str] | None, done: int
) -> Iterator[Callable[[str, float, int], None]]:
    """Writes scalars of steps after `done`; what an interrupted run wrote of these is hidden."""
    if folder is None:
        yield lambda *_: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        missing = "needs packages that are not here: pip install 'metamarl[torch]'."
        raise ImportError(f"'tensorboard' of {WHERE} {missing}") from None
    with SummaryWriter(os.fspath(folder), purge_step=done + 1) as writer:
        yield writer.add_scalar


@contextmanager
def _shown(wanted: bool, total: int) -> Iterator[Callable[[int, float | None], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    hidden = not (wanted and console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task("learning", total=total)

        def show(done: int, gap: float | None) -> None:
            words = "learning" if gap is None else f"learning, gap {gap:.3g} of the span"
            bar.update(task, description=words, completed=done)

        yield show
