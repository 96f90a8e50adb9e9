"""Meta-learning of weights, on tasks whose best start is known.

A task is a point to reach, a vector, and its loss the squared distance of a network's output from
it. With one linear layer and steps of plain gradient descent all is known in closed form.
"""

from dataclasses import replace

import numpy as np
import pytest

import metamarl as mm
from metamarl.algorithms.adapters import ADAPTERS, CoLoRA

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

WIDTH = 3


class Points:
    """A learner for such tasks: gradient descent, `steps` of it, with a little noise."""

    def __init__(self, rate=0.1, noise=0.0, deep=False, stop_at=None):
        self.rate, self.noise, self.deep, self.stop_at = rate, noise, deep, stop_at
        self.calls = 0

    def networks(self, env, seed):
        torch.manual_seed(seed)
        network = nn.Sequential()
        if self.deep:
            network.body = nn.Sequential(nn.Linear(1, 8), nn.Tanh())
        network.head = nn.Linear(8 if self.deep else 1, WIDTH, bias=self.deep)
        return network

    def loss(self, env, networks, seed):
        drawn = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))
        wanted = torch.as_tensor(env, dtype=torch.float32) + self.noise * drawn
        return 0.5 * (networks(torch.ones(1, 1)) - wanted).square().sum(), 1

    def train(self, env, networks, steps, seed):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        for k in range(steps):
            networks.zero_grad()
            self.loss(env, networks, seed + k)[0].backward()
            with torch.no_grad():
                for p in networks.parameters():
                    if p.requires_grad:
                        p -= self.rate * p.grad
        return steps


def family(n=8, seed=0, spread=0.1):
    """Points near (5, -5, 5)."""
    rng = np.random.default_rng(seed)
    return [np.array([5.0, -5.0, 5.0]) + spread * rng.standard_normal(WIDTH) for _ in range(n)]


def loss_after(learner, start, env, steps, seed=0):
    networks = learner.networks(env, seed)
    if start is not None:
        start.attach(networks)
    learner.train(env, networks, steps, seed)
    return float(learner.loss(env, networks, 0)[0].detach())


# --- known answers


def test_reptile_on_quadratic_losses_is_an_average_of_the_adapted_weights():
    """θ' = θ + ε(1 - (1 - rate)^steps)(target - θ), task after task, computed beside it."""
    learner, tasks = Points(), family(1)
    start = mm.learn_start(tasks, learner, rounds=5, steps=3, rate=0.8)
    theta = learner.networks(None, 0).head.weight.detach().double().numpy().ravel()
    for k in range(5):
        adapted = tasks[0] + (1 - 0.1) ** 3 * (theta - tasks[0])
        theta = theta + 0.8 * (1 - k / 5) * (adapted - theta)
    np.testing.assert_allclose(start.weights["head.weight"].numpy().ravel(), theta, atol=1e-5)
    assert (start.rounds, start.steps) == (5, 15)


def test_a_batch_is_averaged():
    tasks, theta = family(2, spread=3.0), Points().networks(None, 0).head.weight.detach().numpy()
    start = mm.learn_start(tasks, Points(), rounds=1, steps=3, rate=0.8, batch=2)
    wanted = theta.ravel() + 0.8 * (1 - 0.9**3) * (np.mean(tasks, 0) - theta.ravel())
    np.testing.assert_allclose(start.weights["head.weight"].numpy().ravel(), wanted, atol=1e-5)


def test_first_order_maml_is_adam_on_the_gradient_at_the_adapted_weights():
    """Kingma & Ba (2015), algorithm 1, with its defaults, in plain NumPy."""
    learner, tasks = Points(), family(2, spread=3.0)
    start = mm.learn_start(tasks, learner, "fomaml", rounds=4, steps=3, rate=0.01, batch=2)
    theta = learner.networks(None, 0).head.weight.detach().double().numpy().ravel()
    m, v = np.zeros(WIDTH), np.zeros(WIDTH)
    for k in range(1, 5):
        gradient = 0.9**3 * sum(theta - task for task in tasks)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        theta = theta - 0.01 * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)
    found = start.weights["head.weight"].numpy().ravel()
    np.testing.assert_allclose(found, theta, atol=1e-5)
    assert start.steps == 4 * 2 * (3 + 1)


@pytest.mark.parametrize(("method", "rate"), [("reptile", 1.0), ("fomaml", 0.1)])
def test_both_find_the_middle_of_a_family(method, rate):
    tasks = family(8, spread=1.0)
    start = mm.learn_start(tasks, Points(), method, rounds=200, steps=2, rate=rate, batch=4)
    middle = np.mean(tasks, 0)
    found = start.weights["head.weight"].numpy().ravel()
    assert np.abs(found - middle).max() < 0.25
    assert (
        np.abs(Points().networks(None, 0).head.weight.detach().numpy().ravel() - middle).max() > 2
    )


@pytest.mark.parametrize("method", ["reptile", "fomaml"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_learned_start_helps_on_tasks_that_it_has_not_seen(method, adapter):
    """Against random weights that adapt as a whole, at the same number of steps."""
    learner = Points(rate=0.05, deep=True)
    base = mm.learn_start(family(), learner, rounds=40, steps=5)
    start = mm.learn_start(
        family(), learner, method, adapter, rounds=20, steps=5, start=base,
        rate=0.5 if method == "reptile" else 0.01,
    )  # fmt: skip
    assert start.steps > base.steps
    for env in family(3, seed=1):
        learned, alone = (loss_after(learner, s, env, 5) for s in (start, None))
        assert learned < 0.1 * alone


def test_a_shared_adapter_learns_what_the_base_does_not_know():
    """From random weights, which "colora" leaves as they are."""
    learner = Points(rate=0.05, deep=True)
    start = mm.learn_start(family(), learner, adapter=CoLoRA(rank=1), rounds=60, steps=5, rate=0.5)
    fresh = learner.networks(None, 0).state_dict()
    for name, weight in fresh.items():
        assert torch.equal(start.weights[name], weight)
    env = family(1, seed=1)[0]
    networks = learner.networks(env, 0)
    before = float(learner.loss(env, networks, 0)[0].detach())
    start.attach(networks)
    assert float(learner.loss(env, networks, 0)[0].detach()) < 0.1 * before


@pytest.mark.parametrize("adapter", ["head", "bottom", "scales"])
def test_reptile_moves_what_adapts_and_maml_everything(adapter):
    learner = Points(deep=True)
    fresh = learner.networks(None, 0).state_dict()
    for method, moved in (
        ("reptile", {"head": 2, "bottom": 2, "scales": 4}[adapter]),
        ("fomaml", 4),
    ):
        start = mm.learn_start(family(), learner, method, adapter, rounds=3, steps=3)
        assert sum(not torch.equal(start.weights[name], fresh[name]) for name in fresh) == moved


# --- manners


def run(**options):
    return mm.learn_start(family(), Points(noise=0.1, deep=True), rounds=4, steps=3, **options)


@pytest.mark.parametrize("method", ["reptile", "fomaml"])
@pytest.mark.parametrize("adapter", ["all", "colora", "sparse"])
def test_seeds_reproduce_bit_for_bit(method, adapter):
    one, same, other = (run(method=method, adapter=adapter, seed=s).weights for s in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("adapter", ["all", "head", "sparse", CoLoRA(rank=1, shared_rank=2)])
def test_a_start_comes_back_from_its_file(adapter, tmp_path):
    start = run(adapter=adapter, seed=2)
    again = mm.load_start(start.save(tmp_path / "start.pt"))
    assert again.described() == start.described()
    assert again.label == start.label
    assert list(tmp_path.iterdir()) == [tmp_path / "start.pt"]
    learner = Points(deep=True)
    env = family(1)[0]
    assert loss_after(learner, again, env, 4) == loss_after(learner, start, env, 4)


def test_ctrl_c_keeps_the_finished_rounds():
    whole = mm.learn_start(family(), Points(stop_at=3), rounds=5, steps=2)
    assert whole.rounds == 2
    nothing = mm.learn_start(family(), Points(stop_at=1), rounds=5, steps=2)
    assert (nothing.rounds, nothing.steps) == (0, 0)
    fresh = Points().networks(None, 0).head.weight
    assert torch.equal(nothing.weights["head.weight"], fresh)


def test_progress_is_told():
    told = []
    run(progress=lambda done, total: told.append((done, total)))
    assert told == [(k, 4) for k in range(1, 5)]


def test_every_task_has_its_turn():
    seen = []

    class Noting(Points):
        def train(self, env, networks, steps, seed):
            seen.append(float(env[0]))
            return super().train(env, networks, steps, seed)

    tasks = family(5)
    mm.learn_start(tasks, Noting(), rounds=5, steps=1, batch=2)
    assert sorted(seen[:5]) == sorted(seen[5:]) == sorted(float(t[0]) for t in tasks)


def test_labels_name_the_method_and_what_adapts():
    assert run().label == "reptile, all"
    assert run(method="fomaml", adapter=CoLoRA(rank=1)).label == "fomaml, colora(rank=1)"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"adapter": "heads"}, ValueError, r"'adapter' .*did you mean 'head'\?"),
        ({"method": "reptil"}, ValueError, r"'method' .*did you mean 'reptile'\?"),
        ({"rate": 0}, ValueError, "'rate' .* above 0"),
        ({"rate": 1.5}, ValueError, "'rate' .* at most 1 for 'reptile'"),
        ({"batch": 0}, ValueError, "'batch' .* at least 1"),
        ({"seed": -1}, ValueError, "'seed' .* at least 0"),
        ({"start": 3}, TypeError, "'start' .* a LearnedStart or None. Got 3"),
        ({"progress": 3}, TypeError, "'progress'"),
    ],
)
def test_bad_parameters_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        run(**options)


def test_tasks_must_be_a_list_of_some():
    with pytest.raises(ValueError, match=r"'environments' .* at least one"):
        mm.learn_start([], Points())
    with pytest.raises(TypeError, match=r"'environments' .* a list of tasks"):
        mm.learn_start(3, Points())


@pytest.mark.parametrize("adapter", ["all", "colora"])
def test_a_start_for_other_networks_is_refused(adapter):
    """In one sentence, and the network stays a plain one."""
    start, network = run(adapter=adapter), Points().networks(None, 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"^The 'start' .* networks of this shape.* instead\.$"
    ) as e:
        start.attach(network)
    assert str(e.value).count(" parameter of ") == 1
    assert "body.0.weight" in str(e.value)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    wide = Points(deep=True).networks(None, 0)
    wide.body[0] = nn.Linear(1, 9)
    with pytest.raises(ValueError, match=r"other body\.0\.bias, body\.0\.weight instead"):
        run().attach(wide)


def test_starts_are_told_apart_by_their_weights():
    start = run()
    assert start.described()["checksum"] == start.checksum == run().checksum
    moved = {name: value.clone() for name, value in start.weights.items()}
    moved["head.bias"][0] += 1e-6
    assert replace(start, weights=moved).checksum != start.checksum
    assert replace(start, weights=moved).described() != start.described()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": {"x": "y"}}, r"'weights' .* LearnedStart must be tensors by name"),
        ({"weights": 3}, r"'weights' .* LearnedStart must be tensors by name"),
        ({"adapter": "all"}, r"'adapter' .* LearnedStart must be an Adapter"),
    ],
)
def test_what_makes_no_start_is_refused(change, words):
    with pytest.raises(TypeError, match=words):
        replace(run(), **change)


def test_files_that_hold_no_start_are_refused(tmp_path):
    path = tmp_path / "start.pt"
    torch.save({"format": "another"}, path)
    with pytest.raises(ValueError, match=r"'path' .* LearnedStart.save has written"):
        mm.load_start(path)
    torch.save(Points(), path)  # an object, which would have to be unpickled
    with pytest.raises(ValueError, match=r"'path' .* LearnedStart.save has written"):
        mm.load_start(path)
    run().save(path)
    content = torch.load(path, weights_only=True)
    content["weights"]["head.bias"][0] += 1.0
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"'path' .* LearnedStart.save has written"):
        mm.load_start(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"'path' .* LearnedStart.save has written"):
        mm.load_start(path)
    with pytest.raises(TypeError, match=r"'path' .* a path. Got 3"):
        mm.load_start(3)
    with pytest.raises(FileNotFoundError):
        mm.load_start(tmp_path / "missing.pt")


def test_without_torch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    for call in (lambda: mm.learn_start(family(), Points()), lambda: mm.load_start("x")):
        with pytest.raises(ImportError, match=r"needs .* pip install 'metamarl\[torch\]'"):
            call()
