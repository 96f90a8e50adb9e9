"""A device that is not there, for the code that is meant for CUDA: run as a script.

Its tensors hold tensors of the CPU and say that they are elsewhere. As on a CUDA device, NumPy
cannot have them, and no operation takes one together with a tensor of the CPU, but for copies and
indices of what is there. What is learned and solved there must be what is learned and solved on the
CPU, bit for bit. It needs parts of PyTorch that may change: where they do, it prints "skipped".
"""

from dataclasses import replace

import numpy as np
import torch
from small_environments import Parallel, Slippery, Turns
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

import metamarl as mm
from metamarl.algorithms import _learning_run, learning, many_games
from metamarl.algorithms.adapters import ADAPTERS
from metamarl.algorithms.learner import Learner

NAME = "pretended"
COPIES = ("aten.copy_.default", "aten._to_copy.default")
INDEX = "aten.index.Tensor"
TINY = mm.NeuralMirrorDescent(hidden=(8,), copies=4, rollout=5, minibatch=16)
GAME = mm.make("soccer", rows=2, columns=3)


class Elsewhere(torch.Tensor):
    """A tensor of the device; `raw` is what it holds."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw):
        return torch.Tensor._make_wrapper_subclass(
            cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(),
            dtype=raw.dtype, device=f"{NAME}:0",
        )  # fmt: skip

    def __init__(self, raw):
        self.raw = raw

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return carry_out(function, args, kwargs or {})


class Watched(TorchDispatchMode):
    """Every operation is carried out by `carry_out`: also those that make tensors."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return carry_out(function, args, kwargs or {})


def is_name(value):
    return isinstance(value, (str, torch.device)) and str(value).startswith(NAME)


def carry_out(function, args, kwargs):
    name, there, here = str(function), {}, []

    def inside(value):
        if isinstance(value, Elsewhere):
            there[id(value.raw)] = value
            return value.raw
        if isinstance(value, torch.Tensor) and value.dim():
            here.append(tuple(value.shape))
        return torch.device("cpu") if is_name(value) else value

    raw_args, raw_kwargs = tree_map(inside, args), tree_map(inside, kwargs)
    mixes = name in COPIES or (name == INDEX and isinstance(args[0], Elsewhere))
    assert mixes or not (there and here), f"{name} mixes devices: {here}"
    found = function(*raw_args, **raw_kwargs)
    if name == "aten.copy_.default":
        return args[0]
    stays = kwargs.get("device") is not None and not is_name(kwargs["device"])
    moves = is_name(kwargs.get("device")) or (there and not stays)

    def outside(value):
        if not isinstance(value, torch.Tensor):
            return value
        return there.get(id(value)) if id(value) in there else Elsewhere(value) if moves else value

    return tree_map(outside, found)


# --- what is run


class Cut(Parallel):
    """Cut off after two steps, never ended."""

    def ended(self):
        return False

    def cut(self):
        return self.t >= 2


ENVIRONMENTS = {
    "arrays": GAME,
    "turns": Turns,
    "cut off": mm.EpisodicEnvironment(Cut, discount=0.9),
    "chance": mm.EpisodicEnvironment(Slippery, discount=0.9),
}


def check_alike(env, options, **more):
    there, here = (mm.learn(env, options, 60, device=d, **more) for d in (NAME, "cpu"))
    own, plain = (solution.policy.networks.state_dict() for solution in (there, here))
    assert all(tensor.device.type == NAME for tensor in own.values())
    assert all(torch.equal(tensor.cpu(), plain[name]) for name, tensor in own.items())
    assert there.gap == here.gap
    mm.rollouts(None, there, 2)
    return there


def check_learning():
    for magnet in ("uniform", "moving"):
        for env in ENVIRONMENTS.values():
            there = check_alike(env, replace(TINY, magnet=magnet))
        check_alike(env, TINY, init=there)
    for name in ADAPTERS:
        start = mm.learn_start([GAME], TINY, adapter=name, rounds=1, steps=20)
        check_alike(GAME, replace(TINY, magnet="moving"), init=start)
    moved = {name: value.to(NAME) for name, value in start.weights.items()}
    assert replace(start, weights=moved).checksum == start.checksum
    check_alike(GAME, TINY, init=replace(start, weights=moved))


def check_resuming(folder):
    """From a checkpoint whose tensors are those of the CPU: this device cannot be written."""
    states, gather, calls = [], Learner.gather, []

    def save(folder, about, state):  # noqa: ARG001
        states.append(tree_map(lambda x: x.cpu() if isinstance(x, torch.Tensor) else x, state))

    def load(folder, about, device):  # noqa: ARG001
        return states[-1] if states else None

    assert callable(_learning_run.save_checkpoint)
    assert callable(_learning_run.load_checkpoint)
    _learning_run.save_checkpoint, _learning_run.load_checkpoint = save, load

    def stop(self):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return gather(self)

    whole = mm.learn(GAME, TINY, 100, device="cpu", checks=5)
    Learner.gather = stop
    assert mm.learn(GAME, TINY, 100, device=NAME, checks=5, folder=folder).interrupted
    Learner.gather = gather
    rest = mm.learn(GAME, TINY, 100, device=NAME, checks=5, folder=folder)
    own, plain = (solution.policy.networks.state_dict() for solution in (rest, whole))
    assert all(torch.equal(tensor.cpu(), plain[name]) for name, tensor in own.items())


def check_solving():
    kinds = {"random": {}, "soccer": {"rows": 2, "columns": 2}, "goofspiel": {"cards": 3}}
    for name, knobs in kinds.items():
        games = mm.tasks(name, 3, 0.2, 1, **knobs)
        for options in ({}, {"regularizer": "euclidean", "first_values": "policy"}):
            solver = mm.OptimisticMirrorDescent(**options)
            there, here = (
                mm.solve_many(games, solver, 0.3, 40, device, throw=False)
                for device in (NAME, "cpu")
            )
            for game, one, other in zip(games, there, here, strict=True):
                assert np.array_equal(one.policy.flat(game), other.policy.flat(game))
                assert one.iterations == other.iterations


def main(folder):
    try:
        from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

        _setup_privateuseone_for_python_backend(NAME)
    except (ImportError, AttributeError, RuntimeError) as error:
        print("skipped:", error)
        return
    torch.set_num_threads(1)
    for module in (learning, many_games):
        module.find_device = lambda device, where: device  # noqa: ARG005
    with Watched():
        one = torch.ones(2).to(NAME)
        for wrong in (lambda: one + torch.ones(2), lambda: np.asarray(one)):
            try:
                wrong()
            except (AssertionError, RuntimeError, TypeError):
                continue
            raise AssertionError("the device takes what no device would take")
        check_learning()
        check_resuming(folder)
        check_solving()
    print("alike")


if __name__ == "__main__":
    import sys

    main(sys.argv[1])
