"""Adapters: every one through the same contract, and what each of them is known for."""

import copy

import numpy as np
import pytest

from metamarl.algorithms.adapters import (
    ADAPTERS,
    AllAdapter,
    BottomAdapter,
    CoLoRA,
    HeadAdapter,
    ScaleAdapter,
    SparseAdapter,
    find_adapter,
)

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import parametrize  # noqa: E402

SIZES = (3, 5, 4, 2)  # what is seen, two hidden layers, actions
EXAMPLES = [
    *(adapter() for adapter in ADAPTERS.values()),
    BottomAdapter(layers=2),
    SparseAdapter(density=0.3),
    SparseAdapter(density=1.0),
    CoLoRA(rank=1, shared_rank=1),
    CoLoRA(rank=2, shared_rank=0),
    CoLoRA(rank=99, shared_rank=99),
]


class Network(nn.Module):
    """A policy and a value on one body."""

    def __init__(self, seed=0, sizes=SIZES):
        super().__init__()
        seen, first, second, actions = sizes
        self.body = nn.Sequential(
            nn.Linear(seen, first), nn.Tanh(), nn.Linear(first, second), nn.LayerNorm(second)
        )
        self.heads = nn.ModuleDict({"policy": nn.Linear(second, actions)})
        self.heads["value"] = nn.Linear(second, 1)
        draws = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(torch.randn(weight.shape, generator=draws))

    def forward(self, seen):
        hidden = torch.tanh(self.body(seen))
        return torch.cat([self.heads["policy"](hidden), self.heads["value"](hidden)], -1)


def two_players():
    return nn.ModuleDict({"player_0": Network(0), "player_1": Network(1)})


def seen(seed=0, n=7):
    return torch.randn(n, SIZES[0], generator=torch.Generator().manual_seed(seed))


def learn(network, steps=5, seed=0, rate=0.05):
    """Some steps of Adam towards drawn targets."""
    wanted = torch.randn(7, SIZES[-1] + 1, generator=torch.Generator().manual_seed(seed + 99))
    optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], rate)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = ((network(seen()) - wanted) ** 2).mean()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


every = pytest.mark.parametrize("adapter", EXAMPLES, ids=str)


# --- the contract


@every
def test_it_starts_at_the_base_function(adapter):
    network = Network()
    with torch.no_grad():
        before, weights = network(seen()), copy.deepcopy(network.state_dict())
        adapted = adapter.attach(network)
        assert torch.equal(network(seen()), before)
    assert same(adapted.merged(), weights)
    assert all(not change.any() for change in adapted.difference().values())


@every
def test_only_its_own_part_changes(adapter):
    network = Network()
    adapted = adapter.attach(network)
    shared, personal = adapted.shared(), adapted.personal()
    learn(network)
    assert same(adapted.shared(), shared)
    assert not same(adapted.personal(), personal)
    learning = {id(p) for p in network.parameters() if p.requires_grad}
    assert len(learning) == len(personal)
    assert any(change.any() for change in adapted.difference().values())


@every
def test_learning_lowers_the_loss(adapter):
    network = Network()
    adapter.attach(network)
    assert learn(network, 60) < 0.95 * learn(Network(), 1)


@every
def test_merged_weights_compute_what_the_adapted_network_computes(adapter):
    network = Network()
    adapted = adapter.attach(network)
    learn(network)
    with torch.no_grad():
        wanted = network(seen(3))
    plain = Network(5)
    plain.load_state_dict(adapted.merged())
    assert torch.equal(plain(seen(3)), wanted)
    assert adapted.merge() is network
    assert torch.equal(network(seen(3)), wanted)
    assert type(network.body[0]) is nn.Linear
    assert same(network.state_dict(), plain.state_dict())
    assert all(parameter.requires_grad for parameter in network.parameters())


@every
def test_reset_forgets_the_task_exactly(adapter):
    network = Network()
    adapted = adapter.attach(network)
    before, start = network(seen()), adapted.personal()
    learn(network)
    learned = adapted.personal()
    adapted.reset()
    assert torch.equal(network(seen()), before)
    assert same(adapted.personal(), start)
    adapted.write_personal(learned)
    assert same(adapted.personal(), learned)


@every
def test_both_parts_come_back_from_a_file(adapter, tmp_path):
    network = Network()
    adapted = adapter.attach(network, seed=3)
    learn(network)
    adapted.absorb(adapted.difference(), 0.5)
    torch.save({"own": adapted.personal(), "shared": adapted.shared()}, tmp_path / "parts.pt")
    other = Network(8)
    found = torch.load(tmp_path / "parts.pt", weights_only=True)
    again = adapter.attach(other, seed=4)
    again.write_shared(found["shared"])
    again.write_personal(found["own"])
    assert torch.equal(other(seen(1)), network(seen(1)))


@every
def test_seeds_reproduce_bit_for_bit(adapter):
    parts = []
    for seed in (0, 0, 1):
        network = Network()
        adapted = adapter.attach(network, seed)
        learn(network)
        parts.append(adapted.merged())
    assert same(parts[0], parts[1])
    assert same(parts[0], parts[2]) == (adapter.name != "colora")


@every
def test_caching_computes_the_same(adapter):
    network = Network()
    adapted = adapter.attach(network)
    learn(network)
    plain = network(seen())
    with torch.no_grad(), adapted.cached():
        assert torch.equal(network(seen()), plain)
        assert network.body[0].weight is network.body[0].weight or adapter.name == "head"


@every
def test_half_a_difference_absorbed_is_half_way(adapter):
    """Exactly where the base moves; within their rank where a shared adapter does."""
    network = Network()
    adapted = adapter.attach(network)
    learn(network, 20)
    change, before = adapted.difference(), adapted.merged()
    adapted.reset()
    start = adapted.merged()
    adapted.absorb(change, 0.5)
    after = adapted.merged()
    for name in start:
        wanted = start[name] + 0.5 * change[name] if name in change else start[name]
        if adapter.name == "colora" and name in change and adapter.shared_rank:
            u, s, v = torch.linalg.svd(0.5 * change[name])
            rank = min(adapter.shared_rank, *change[name].shape)
            nearest = (u[:, :rank] * s[:rank]) @ v[:rank]  # Eckart and Young
            wanted = start[name] + nearest
        torch.testing.assert_close(after[name], wanted, atol=1e-6, rtol=0)
    assert not same(after, before)


def test_two_networks_in_one_container_are_told_apart():
    network = two_players()
    adapted = BottomAdapter().attach(network)
    assert set(adapted.difference()) == {
        f"player_{i}.body.0.{name}" for i in (0, 1) for name in ("weight", "bias")
    }
    assert adapted.n_adapted == 2 * (3 * 5 + 5)


def test_the_network_inside_an_identity_block_is_found():
    """What lies below the body may be nested, and a head may be one layer."""
    network = nn.Sequential()
    network.body = nn.Sequential(nn.Sequential(nn.Linear(2, 3)), nn.Linear(3, 4))
    network.head = nn.Linear(4, 2)
    assert set(HeadAdapter().attach(copy.deepcopy(network)).difference()) == {
        "head.weight",
        "head.bias",
    }
    assert BottomAdapter(layers=2).attach(network).n_adapted == 9 + 16


# --- counts by hand, for the sizes above

BODY, NORM, HEADS = 3 * 5 + 5 + 5 * 4 + 4, 4 + 4, (4 * 2 + 2) + (4 * 1 + 1)


@pytest.mark.parametrize(
    ("adapter", "count"),
    [
        (AllAdapter(), BODY + NORM + HEADS),
        (HeadAdapter(), HEADS),
        (BottomAdapter(), 3 * 5 + 5),
        (BottomAdapter(layers=2), BODY),
        (ScaleAdapter(), (5 + 5) + (4 + 4) + NORM + (2 + 2) + (1 + 1)),
        (SparseAdapter(density=0.3), (5 + 2) + (6 + 2) + (2 + 2) + (3 + 1) + (2 + 1)),
        (SparseAdapter(density=1e-9), 10),
        (SparseAdapter(density=1.0), BODY + NORM + HEADS),
        (CoLoRA(rank=1, shared_rank=3), (3 + 5) + (5 + 4) + (4 + 2) + (4 + 1)),
        (CoLoRA(rank=2), 2 * ((3 + 5) + (5 + 4) + (4 + 2)) + (4 + 1)),
    ],
    ids=str,
)
def test_numbers_adapted(adapter, count):
    adapted = adapter.attach(Network())
    assert adapted.n_adapted == count
    assert adapted.n_weights == BODY + NORM + HEADS


# --- what each of them is known for


def test_only_the_largest_changes_of_a_sparse_difference_are_in_force():
    network = Network()
    adapted = SparseAdapter(density=0.2).attach(network)
    learn(network, 30)
    dense = adapted.personal()
    for name, change in adapted.difference().items():
        kept = int(np.ceil(0.2 * change.numel()))
        largest = dense[f"{name}.difference"].abs().flatten().topk(kept).indices
        assert set(change.flatten().nonzero().flatten().tolist()) <= set(largest.tolist())
        assert 0 < change.count_nonzero() <= kept


def test_gradients_of_a_sparse_difference_reach_all_of_it():
    network = Network()
    SparseAdapter(density=0.05).attach(network)
    network(seen()).square().sum().backward()
    assert network.heads["policy"].parametrizations.weight[0].difference.grad.all()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_rank_of_a_low_rank_change(rank):
    network = Network()
    adapted = CoLoRA(rank=rank, shared_rank=1).attach(network)
    learn(network, 30)
    for change in adapted.difference().values():
        assert torch.linalg.matrix_rank(change) == min(rank, *change.shape)


def test_a_shared_adapter_leaves_the_base_where_it_is():
    network = Network()
    adapted = CoLoRA(rank=1, shared_rank=2).attach(network)
    bases = {name: v for name, v in adapted.shared().items() if ".shared." not in name}
    learn(network)
    adapted.absorb(adapted.difference(), 1.0)
    after = adapted.shared()
    assert same({name: after[name] for name in bases}, bases)
    assert set(adapted.movable) == set(after) - set(bases)
    assert after["body.0.weight.shared.left"].any()


def test_a_scale_multiplies_rows():
    network = Network()
    adapted = ScaleAdapter().attach(network)
    values = adapted.personal()
    values["body.0.weight.scale"] = torch.arange(5.0)
    before = adapted.merged()["body.0.weight"]
    adapted.write_personal(values)
    factors = torch.arange(1.0, 6.0)[:, None]
    assert torch.equal(adapted.merged()["body.0.weight"], before * factors)


def test_a_convolution_is_a_matrix_with_a_row_per_channel():
    network = nn.Sequential(nn.Conv2d(2, 3, 2))
    adapted = CoLoRA(rank=1, shared_rank=1).attach(network)
    assert adapted.n_adapted == 3 + 2 * 2 * 2
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1
    adapted.absorb(adapted.difference(), 1.0)
    assert adapted.difference()["0.weight"].shape == (3, 2, 2, 2)


def test_weights_in_double_precision_stay_so():
    network = Network().double()
    adapted = CoLoRA().attach(network)
    assert all(value.dtype == torch.float64 for value in adapted.personal().values())


def test_a_layer_of_one_weight():
    for adapter in EXAMPLES:
        network = nn.Sequential()
        network.body, network.head = nn.Linear(1, 1), nn.Linear(1, 1)
        adapted = adapter.attach(network)
        assert 1 <= adapted.n_adapted <= 4


# --- bad input


def test_unknown_adapters_are_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match=r"'adapter' .* learn_start .*did you mean 'colora'\?"):
        find_adapter("colorra", "learn_start")
    with pytest.raises(TypeError, match=r"an adapter's name, or an adapter. Got 3 instead"):
        find_adapter(3, "learn_start")
    assert find_adapter("head", "learn_start") == HeadAdapter()
    assert find_adapter(CoLoRA(rank=7), "learn_start").rank == 7


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: BottomAdapter(layers=0), ValueError, "'layers' .* at least 1"),
        (lambda: SparseAdapter(density=0), ValueError, "'density' .* above 0"),
        (lambda: SparseAdapter(density=1.5), ValueError, "'density' .* between 0 and 1"),
        (lambda: CoLoRA(rank=0), ValueError, "'rank' .* at least 1"),
        (lambda: CoLoRA(rank=1.5), TypeError, "'rank' .* integer"),
        (lambda: CoLoRA(shared_rank=-1), ValueError, "'shared_rank' .* at least 0"),
        (lambda: AllAdapter().attach(3), TypeError, "'network' .* a torch.nn.Module. Got 3"),
        (lambda: AllAdapter().attach(Network(), -1), ValueError, "'seed' .* at least 0"),
        (lambda: AllAdapter().attach(nn.Tanh()), ValueError, "Got weights none"),
        (lambda: HeadAdapter().attach(nn.Linear(1, 1)), ValueError, "adapter 'head' adapts"),
        (lambda: BottomAdapter().attach(nn.Linear(1, 1)), ValueError, "weights weight, bias"),
    ],
)
def test_bad_parameters_are_refused(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_one_adapter_at_a_time():
    network = Network()
    AllAdapter().attach(network)
    with pytest.raises(ValueError, match="without parametrizations"):
        CoLoRA().attach(network)


def test_weights_that_layers_share_are_refused():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    with pytest.raises(ValueError, match=r"weights of their own. Got two layers that share one"):
        AllAdapter().attach(network)
    assert not parametrize.is_parametrized(network[0])


def test_parts_of_another_shape_are_refused():
    adapted = CoLoRA(rank=1).attach(Network())
    other = CoLoRA(rank=2).attach(Network())
    with pytest.raises(ValueError, match=r"differing: body\.0\.weight\.left, "):
        adapted.write_personal(other.personal())
    with pytest.raises(ValueError, match=r"'values' .* differing: body.0.bias"):
        adapted.write_shared({})


def test_without_torch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(
        ImportError, match=r"Adapter.attach needs .* pip install 'metamarl\[torch\]'"
    ):
        AllAdapter().attach(None)
