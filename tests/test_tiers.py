"""Tiers: low ones never pay, identical ones end regret, wrong ones are found out, bad input."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import metamarl as mm
from metamarl.tier_recorder import Increments

PUBLISHED = mm.RobustTransfer(evidence=None)
AGENTS = ["none", "naive", "robust", "pessimistic", "oracle", PUBLISHED]
SAME, PERMUTED, SHIFTED = (mm.tier_tasks(name) for name in ("identical", "permuted", "shifted"))
ARMS = [0.8, 0.6, 0.5, 0.4, 0.3]


def one_state(pay=(0.2, 0.7), **options):
    """One state, one step: known rewards leave nothing to learn."""
    pay = np.array(pay, float)
    return mm.MarkovGame(np.ones((1, len(pay), 1)), pay[None, None], horizon=1, **options)


# --- what was promised


@pytest.mark.parametrize("agent", AGENTS, ids=str)
@pytest.mark.parametrize("bonus", ["bernstein", "strong-euler"])
def test_low_tiers_are_as_if_they_were_alone(agent, bonus):
    low, high = mm.tier_tasks("permuted", 2, seed=3)
    alone = mm.tiered(low, low[0], "none", 3000, seed=4, bonus=bonus)
    run = mm.tiered(low, high, agent, 3000, seed=4, bonus=bonus)
    np.testing.assert_array_equal(run.regret_low, alone.regret_low)
    assert (np.diff(run.regret_low[:, ::1000]) > 0).all()


@pytest.mark.parametrize("agent", AGENTS, ids=str)
def test_low_bandits_are_as_if_they_were_alone(agent):
    low = [[0.6, 0.9, 0.1], [0.3, 0.2, 0.5]]
    alone = mm.tiered_bandits(low, [0.1, 0.2, 0.3], "none", 3000, seed=4)
    run = mm.tiered_bandits(low, [0.9, 0.2, 0.3], agent, 3000, seed=4)
    np.testing.assert_array_equal(run.regret_low, alone.regret_low)


def test_high_tier_without_transfer_does_not_see_the_sources():
    runs = [mm.tiered(*mm.tier_tasks("shifted", W), "none", 2000) for W in (1, 3)]
    np.testing.assert_array_equal(runs[0].regret_high, runs[1].regret_high)
    np.testing.assert_array_equal(runs[0].diagnosis.margin, runs[1].diagnosis.margin[:1])


@pytest.mark.parametrize("agent", ["robust", "pessimistic", PUBLISHED], ids=str)
def test_identical_tasks_end_regret(agent):
    none = mm.tiered(*SAME, "none", 40_000)
    run = mm.tiered(*SAME, agent, 40_000)
    early, late = run.regret_at([10_000, 40_000])[-1]
    assert early == late < 0.6 * none.regret_high[-1]
    assert none.regret_at([10_000])[-1, 0] < none.regret_high[-1] - 20
    if agent != "pessimistic":
        assert (run.trust[-1] == 0).all()


@pytest.mark.parametrize("agent", ["robust", PUBLISHED], ids=str)
def test_identical_bandits_end_regret(agent):
    for seed in range(5):
        run = mm.tiered_bandits([ARMS], ARMS, agent, 50_000, seed)
        early, late = run.regret_at([3000, 50_000])[-1]
        assert early == late < 60


def test_different_best_arm_costs_little():
    found = {"none": [], "robust": [], "naive": []}
    for agent, regrets in found.items():
        for seed in range(10):
            run = mm.tiered_bandits([[0.6, 0.9, 0.5, 0.4, 0.3]], ARMS, agent, 50_000, seed)
            regrets.append(run.regret_high[-1])
            assert run.diagnosis.dominates
    assert np.mean(found["robust"]) < 1.1 * np.mean(found["none"])
    assert np.mean(found["naive"]) > 9000  # 0.2 a round


@pytest.mark.parametrize("agent", ["robust", PUBLISHED], ids=str)
def test_without_dominance_regret_is_linear(agent):
    run = mm.tiered_bandits([[0.3, 0.55, 0.2, 0.2, 0.2]], ARMS, agent, 20_000)
    assert run.regret_high[-1] > 0.19 * 20_000
    assert np.diff(run.regret_at([10_000, 20_000])[-1]) == pytest.approx(2000)
    assert not run.diagnosis.dominates
    assert run.diagnosis.violation == pytest.approx([0.25])


def test_without_dominance_tabular_regret_is_linear():
    run = mm.tiered(*mm.tier_tasks("violating", 1, seed=1), episodes=40_000)
    first, half, whole = run.regret_at([10_000, 20_000, 40_000])[-1]
    assert whole - half > 1.9 * (half - first) > 1000
    assert run.diagnosis.violation[0] == pytest.approx(1.0)  # 0.2 in each of five steps
    assert "violated at 15 pairs (100%), by up to 1 " in " ".join(run.diagnosis.sentences())


@pytest.mark.parametrize("bonus", ["bernstein", "strong-euler"])
@pytest.mark.parametrize(("family", "sources"), [("permuted", 1), ("permuted", 3), ("shifted", 2)])
def test_dissimilar_sources_cost_little(family, sources, bonus):
    """No delay: the test of the evidence finds out when to begin."""
    ratios = []
    for seed in range(3):
        tiers = mm.tier_tasks(family, sources, seed)
        regrets = [
            mm.tiered(*tiers, agent, 20_000, seed, bonus=bonus).regret_high[-1]
            for agent in ("robust", "none")
        ]
        ratios.append(regrets[0] / regrets[1])
    assert np.mean(ratios) < 1.1
    assert family == "shifted" or np.mean(ratios) < 0.95


def test_slack_takes_sources_that_are_a_little_better():
    close = [0.82, 0.3, 0.6, 0.5, 0.4]
    for evidence in (None, 4.0):
        run = [
            mm.tiered_bandits(
                [close], ARMS, mm.RobustTransfer(slack=slack, evidence=evidence), 300_000
            )
            for slack in (0.0, 0.05)
        ]
        assert run[0].trust[-1] == -1
        assert run[1].trust[-1] == 0
        assert run[1].regret_high[-1] == run[1].regret_high[1000] < 0.3 * run[0].regret_high[-1]


def test_oracle_follows_nothing_where_nothing_is_transferable():
    found = []
    for agent in ("none", "oracle"):
        run = mm.tiered(*SHIFTED, agent, 1000)
        assert not run.diagnosis.covered.any()
        found.append(run.regret_high)
    np.testing.assert_array_equal(*found)
    assert mm.tiered(*SAME, mm.OracleTransfer(occupancy=0.0), 1000).regret_high[-1] == 0


def test_delay():
    delayed = mm.RobustTransfer(delay=500, evidence=None)
    run, none = (mm.tiered(*PERMUTED, agent, 1000) for agent in (delayed, "none"))
    np.testing.assert_array_equal(run.regret_high[:500], none.regret_high[:500])
    assert run.regret_high[-1] != none.regret_high[-1]
    assert (run.trust[run.recorded <= 500] == -1).all()
    assert (run.trust[-1] >= 0).any()


# --- the result


def test_shapes_and_identities():
    run = mm.tiered(*mm.tier_tasks("permuted", 2), episodes=5000)
    T = len(run.recorded)
    assert run.regret_high.shape == (5000,)
    assert run.regret_low.shape == (2, 5000)
    assert run.trust.shape == run.regret_by_state.shape == (T, 5, 3)
    assert run.followed.shape == run.trust_share.shape == (T, 2)
    assert run.recorded[[0, -1]].tolist() == [1, 5000]
    assert (np.diff(run.regret_high) >= 0).all()
    at = run.regret_at(run.recorded)
    np.testing.assert_array_equal(at[-1], run.regret_high[run.recorded - 1])
    np.testing.assert_array_equal(at[:-1], run.regret_low[:, run.recorded - 1])
    np.testing.assert_allclose(run.regret_by_state.sum((1, 2)), at[-1], rtol=1e-9)
    np.testing.assert_allclose(run.regret_split.sum(1), at[-1], rtol=1e-9)
    assert (run.followed.sum(1) <= 5 * run.recorded).all()
    assert repr(run).startswith("<TieredRun of robust: 2 sources, 5,000 episodes, regret ")
    np.testing.assert_array_equal(run.regret_at([0]), 0)


def test_regret_is_of_episodes_that_were_played():
    run = mm.tiered(*PERMUTED, episodes=100)
    np.testing.assert_array_equal(run.regret_at([]), np.zeros((len(PERMUTED.low) + 1, 0)))
    np.testing.assert_array_equal(run.regret_at([100, 50])[-1], run.regret_high[[99, 49]])
    for bad in ([101], [10**9], [-1], np.array([2**64 - 1], np.uint64)):
        with pytest.raises(ValueError, match="'episodes' parameter of regret_at must be integers"):
            run.regret_at(bad)
    for bad in ([0.5], ["1"], [True], [[1], [1, 2]], [10**30], None):
        with pytest.raises(TypeError, match="'episodes' parameter of regret_at must be integers"):
            run.regret_at(bad)


def test_regret_of_every_episode_is_kept_in_little_memory():
    tracemalloc.start()
    run = mm.tiered_bandits([ARMS], ARMS, "none", 1_000_000)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 4e6  # twice 8 MB as arrays
    assert run.regret_high.shape == (1_000_000,)


def test_increments():
    found = Increments(np.array([0, 2, 5]), np.array([1.0, 0.0, 0.5]), 7)
    np.testing.assert_array_equal(found.at(np.arange(8)), [0, 1, 2, 2, 2, 2, 2.5, 3])


@pytest.mark.parametrize("agent", ["robust", "pessimistic"])
def test_how_a_run_is_cut_does_not_matter(agent, monkeypatch):
    from metamarl import tiers

    runs = []
    for most in (7, 1 << 17):
        monkeypatch.setattr(tiers, "MOST_EPISODES", most)
        runs.append(mm.tiered(*PERMUTED, agent, 2000))
    for name in ("regret_high", "regret_low", "trust", "followed", "recorded"):
        np.testing.assert_array_equal(getattr(runs[0], name), getattr(runs[1], name))
    np.testing.assert_allclose(runs[0].regret_by_state, runs[1].regret_by_state, rtol=1e-12)


def test_seeds():
    runs = [mm.tiered(*PERMUTED, episodes=500, seed=seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0].regret_high, runs[1].regret_high)
    assert runs[0].regret_high[-1] != runs[2].regret_high[-1]
    assert runs[0].regret_low[0, -1] != runs[2].regret_low[0, -1]


@pytest.mark.parametrize("play", [mm.tiered, mm.tiered_bandits])
def test_ctrl_c_keeps_what_was_played(play):
    def stop(done, total):
        assert total == 5000
        if done >= 1000:
            raise KeyboardInterrupt

    tasks = PERMUTED if play is mm.tiered else ([ARMS], ARMS)
    run, whole = play(*tasks, episodes=5000, progress=stop), play(*tasks, episodes=5000)
    assert run.interrupted
    assert 1000 <= run.episodes < 5000
    np.testing.assert_array_equal(run.regret_high, whole.regret_high[: run.episodes])
    n = len(run.recorded)
    np.testing.assert_array_equal(run.recorded, whole.recorded[:n])
    np.testing.assert_array_equal(run.trust, whole.trust[:n])


def test_ctrl_c_at_once(tmp_path, monkeypatch):
    from metamarl import tiers

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tiers._Learner, "advance", stop)
    run = mm.tiered(*PERMUTED)
    assert run.episodes == 0
    assert run.regret_high.shape == (0,)
    assert run.regret_low.shape == (1, 0)
    np.testing.assert_array_equal(run.regret_at([0, 0]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="from 0 to the number of episodes, 0"):
        run.regret_at([1])
    assert run.trust.shape == (0, 5, 3)
    assert repr(run) == "<TieredRun of robust: no episode, interrupted>"
    run.save(tmp_path)
    assert not (tmp_path / "figure.png").exists()


def test_range_of_rewards():
    """Other units: the same play, the regret in those units."""
    low, high = PERMUTED
    P, R = high.dense()
    stretched = mm.MarkovGame(P, 8.0 * R - 4.0, horizon=5)
    P, R = low[0].dense()
    source = mm.MarkovGame(P, 8.0 * R - 4.0, horizon=5)
    plain = mm.tiered(low, high, mm.RobustTransfer(slack=0.01), 500)
    run = mm.tiered(
        [source], stretched, mm.RobustTransfer(slack=0.08), 500, reward_range=(-4.0, 4.0)
    )
    np.testing.assert_allclose(run.regret_high, 8.0 * plain.regret_high, atol=1e-8)
    np.testing.assert_array_equal(run.trust, plain.trust)
    np.testing.assert_allclose(run.diagnosis.margin, 8.0 * plain.diagnosis.margin, atol=1e-9)
    found = mm.diagnose_tiers([source], stretched, reward_range=(-4.0, 4.0))
    np.testing.assert_array_equal(found.transferable, plain.diagnosis.transferable)


@pytest.mark.parametrize("agent", AGENTS, ids=str)
def test_one_state_one_action_one_step(agent):
    for game in (one_state([0.5]), one_state()):
        run = mm.tiered([game, game], game, agent, 300)
        assert 0 <= run.regret_high[-1] <= (game.n_actions[0] > 1) * 2.5
    assert mm.tiered_bandits([[0.5]], [0.5], agent, 300).regret_high[-1] == 0
    assert mm.tiered_bandits([[0.0, 0.0]], [0.0, 0.0], agent, 300).regret_high[-1] == 0
    assert mm.tiered([game], game, agent, 1).regret_high.shape == (1,)


def test_many_actions_and_a_long_horizon():
    rng = np.random.default_rng(0)
    P, R = rng.dirichlet(np.ones(4), (4, 100)), rng.random((1, 4, 100))
    game = mm.MarkovGame(P, R, horizon=40)
    run = mm.tiered([game], game, episodes=50)
    assert run.trust.shape[1:] == (40, 4)
    assert run.regret_high[-1] > 0


@given(
    sizes=st.tuples(*(st.integers(1, 4) for _ in range(4))),
    seed=st.integers(0, 10**6),
    agent=st.sampled_from(AGENTS),
    bonus=st.sampled_from(["bernstein", "strong-euler"]),
)
@settings(max_examples=40, deadline=None)
def test_whatever_the_sizes(sizes, seed, agent, bonus):
    """Regret never falls, is where it was lost, and the sources are as if they were alone."""
    S, A, H, W = sizes
    rng = np.random.default_rng(seed)
    legal = rng.random((S, A)) < 0.7
    legal[np.arange(S), rng.integers(0, A, S)] = True
    low_and_high = [
        mm.MarkovGame(
            rng.dirichlet(np.full(S, 0.3), (H, S, A)), rng.random((1, H, S, A)),
            initial=rng.dirichlet(np.ones(S)), horizon=H, legal=[legal],
        )
        for _ in range(W + 1)
    ]  # fmt: skip
    *low, high = low_and_high
    run = mm.tiered(low, high, agent, 40, seed, bonus=bonus)
    alone = mm.tiered(low, low[0], "none", 40, seed, bonus=bonus)
    assert (np.diff(run.regret_high, prepend=0.0) >= 0).all()
    np.testing.assert_allclose(run.regret_by_state[-1].sum(), run.regret_high[-1], atol=1e-9)
    np.testing.assert_array_equal(run.regret_low, alone.regret_low)
    assert run.trust.min() >= -1
    assert run.trust.max() < W


# --- the diagnosis


def test_conditions_by_hand():
    """Two steps, two states; the state after action a is a."""
    P = np.zeros((2, 2, 2, 2))
    P[..., 0, 0] = P[..., 1, 1] = 1.0
    R = np.array([[[0.5, 0.2], [0.5, 0.2]], [[0.4, 0.1], [0.1, 0.3]]])
    high = mm.MarkovGame(P, R[None], initial=[1.0, 0.0], horizon=2)
    other = R.copy()
    other[1, 0] = [0.1, 0.45]  # another action, and better
    found = mm.diagnose_tiers(
        [high, mm.MarkovGame(P, other[None], initial=[1.0, 0.0], horizon=2)], high
    )
    both = np.array([[True, False], [True, False]])
    np.testing.assert_array_equal(found.comes, [both, both])
    np.testing.assert_array_equal(found.right[1], [[True, True], [False, True]])
    np.testing.assert_allclose(found.margin[1], [[0.05, 0.05], [0.05, 0.0]], atol=1e-12)
    np.testing.assert_array_equal(found.no_better[1], [[False, False], [False, True]])
    np.testing.assert_array_equal(found.transferable, [both, ~(both | ~both)])
    assert found.dominates
    assert found.violation.tolist() == [0.0, 0.0]
    slack = mm.diagnose_tiers([mm.MarkovGame(P, other[None], horizon=2)], high, slack=0.05)
    assert slack.no_better.all()
    assert list(found.sentences()) == [
        "2 of 4 (step, state) pairs are transferable (50%).",
        "Optimal Value Dominance holds.",
    ]
    back = mm.diagnose_tiers([high], mm.MarkovGame(P, other[None], horizon=2))
    assert back.violation == pytest.approx([0.05])
    assert "at 3 pairs (75%), by up to 0.05 (source 0, step " in repr(back)


def test_ties_are_optimal():
    game, tied = one_state([0.2, 0.7, 0.7]), one_state([0.2, 0.1, 0.7])
    assert mm.diagnose_tiers([tied], game).covered.all()
    assert mm.tiered([tied], game, "naive", 50).regret_high[-1] == 0
    for worse in ([0.2, 0.7, 0.1], [0.2, 0.1, 0.7]):  # the source may recommend either
        assert not mm.diagnose_tiers([game], one_state(worse)).right.any()
    assert mm.diagnose_tiers([game], game).covered.all()


# --- the families


@pytest.mark.parametrize("name", mm.tier_families())
def test_families(name):
    one, three = (mm.tier_tasks(name, W, seed=5) for W in (1, 3))
    assert len(three.low) == 3
    for a, b in ((one.high, three.high), (one.low[0], three.low[0])):
        for x, y in zip(a.dense(), b.dense(), strict=True):
            np.testing.assert_array_equal(x, y)
    sizes = (5, (5,)) if name == "integer" else (3, (3,))
    assert (one.high.n_states, one.high.n_actions, one.high.horizon) == (*sizes, 5)
    small = mm.tier_tasks(name, states=1, actions=1, horizon=1)
    assert small.high.n_states == 1
    found = mm.diagnose_tiers(*mm.tier_tasks(name, 2, states=4, actions=5, horizon=6, seed=1))
    same = {"identical", "integer", "permuted"}
    if name in same:
        np.testing.assert_allclose(found.margin, 0, atol=1e-12)
    if name in same - {"permuted"}:
        assert found.right.all()
    if name in {"shifted", "violating"}:
        sign = 1 if name == "shifted" else -1
        left = sign * 0.2 * np.arange(6, 0, -1)[:, None]
        np.testing.assert_allclose(found.margin, np.broadcast_to(left, (2, 6, 4)), atol=1e-12)
    assert found.dominates == (name not in {"unrelated", "violating"})


@pytest.mark.parametrize("name", ["identical", "permuted", "shifted", "violating"])
def test_gaps_of_families(name):
    from metamarl.tier_models import solve_tier

    for seed in range(5):
        tiers = mm.tier_tasks(name, 1, seed, gap=0.15)
        for game in (tiers.high, *tiers.low):
            gaps = solve_tier(game, 0.0, 1.0).gaps
            assert (gaps[gaps > 0] > 0.15 - 1e-12).all()
            assert ((gaps == 0).reshape(5, 3, 3).sum(2) == 1).all()


def test_permuted_sources_agree_by_chance():
    right = [mm.diagnose_tiers(*mm.tier_tasks("permuted", 5, s)).right.mean() for s in range(20)]
    assert np.mean(right) == pytest.approx(1 / 3, abs=0.04)


# --- bad input


def horizon(game, **options):
    P, R = game.dense()
    return mm.MarkovGame(P[0], R[:, 0], **options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"low": []}, "'low' parameter of tiered must be at least one source"),
        ({"low": "soccer"}, "'low' parameter of tiered must be a list of MarkovGames"),
        ({"low": [1]}, "'low' parameter of tiered must be a list of MarkovGames"),
        ({"high": 1}, "'high' parameter of tiered must be a MarkovGame"),
        ({"low": mm.tier_tasks("permuted", states=4).low}, r"'low\[0\]' .* same shape"),
        ({"low": mm.tier_tasks("permuted", actions=4).low}, r"'low\[0\]' .* same shape"),
        ({"low": mm.tier_tasks("permuted", horizon=4).low}, r"'low\[0\]' .* same shape, clock"),
        ({"high": mm.make("soccer")}, "'high' .* one player and a horizon"),
        ({"high": horizon(PERMUTED.high, discount=0.9)}, "'high' .* one player and a horizon"),
        ({"low": [horizon(PERMUTED.high, discount=0.9)]}, r"'low\[0\]' .* one player"),
        ({"reward_range": (0.0, 0.5)}, r"'high' .* rewards in .*'reward_range' sets it"),
        ({"reward_range": (1.0, 0.0)}, "'reward_range' .* second one above the first"),
        ({"reward_range": 1.0}, "'reward_range'"),
        ({"agent": "robusd"}, r"'agent' .*did you mean 'robust'\?"),
        ({"agent": 3}, "'agent' parameter of tiered must be a TierAgent or one of"),
        ({"episodes": 0}, "'episodes'"),
        ({"episodes": 1e5}, "'episodes'"),
        ({"seed": -1}, "'seed'"),
        ({"bonus": "hoeffding"}, "'bonus'"),
        ({"coefficient": 0.0}, "'coefficient'"),
        ({"coefficient": np.nan}, "'coefficient'"),
        ({"progress": 1}, "'progress'"),
    ],
)
def test_bad_input(change, says):
    arguments = {"low": PERMUTED.low, "high": PERMUTED.high, "episodes": 10} | change
    with pytest.raises((TypeError, ValueError), match=says):
        mm.tiered(**arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("occupancy", x) for x in (-0.1, 3.1, "a")),
        *(("slack", x) for x in (-1.0, np.inf)),
        *(("delay", x) for x in (-1, 0.5)),
        *(("evidence", x) for x in (0.0, -1.0)),
        ("power", -1.0),
        ("correction", -0.5),
    ],
)
def test_bad_options_of_agents(name, value):
    for agent in (mm.RobustTransfer, mm.NaiveTransfer, mm.OracleTransfer):
        if name in agent.__dataclass_fields__:
            words = f"'{name}' parameter of {agent.__name__}"
            with pytest.raises((TypeError, ValueError), match=words):
                agent(**{name: value})


def test_rewards_outside_the_range():
    P, R = PERMUTED.high.dense()
    words = r"'low\[0\]' .* rewards in \[0.0, 1.0\], the range that"
    for wrong in (R + 0.5, R - 0.5):
        with pytest.raises(ValueError, match=words):
            mm.tiered([mm.MarkovGame(P, wrong, horizon=5)], PERMUTED.high)


def test_illegal_actions_must_be_the_same():
    P, R = PERMUTED.high.dense()
    game = mm.MarkovGame(P, R, horizon=5, legal=[np.eye(3, dtype=bool)])
    with pytest.raises(ValueError, match="legal actions as 'high'"):
        mm.tiered([game], PERMUTED.high)


def test_tasks_that_do_not_fit_into_memory():
    states = 200_000
    chain = np.arange(states)
    from scipy import sparse

    P = sparse.csr_array((np.ones(states), (chain, np.r_[chain[1:], 0])), (states, states))
    game = mm.MarkovGame(P, np.zeros((1, states, 1)), horizon=2)
    with pytest.raises(ValueError, match=r"needs about .* GiB of memory"):
        mm.tiered([game], game)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        ([], ARMS, "at least one source"),
        ([[0.5]], ARMS, r"'low\[0\]' .* of shape \(5,\)"),
        ([ARMS], [0.5, 1.5, 0.0, 0.0, 0.0], "'high' .* probabilities"),
        ([ARMS], [[0.5]], "'high'"),
        ([ARMS], [], "'high'"),
        ([[np.nan] * 5], ARMS, r"'low\[0\]' .* probabilities"),
        ("ab", ARMS, "'low' .* a list of sources"),
        (["ab"], ARMS, r"'low\[0\]'"),
    ],
)
def test_bad_bandits(low, high, says):
    with pytest.raises((TypeError, ValueError), match=says):
        mm.tiered_bandits(low, high)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "permutet"}, "did you mean 'permuted'"),
        ({"sources": 0}, "'sources'"),
        ({"seed": -1}, "'seed'"),
        ({"states": 0}, "'states'"),
        ({"gap": 0.6}, "'gap'"),
        ({"shift": 0.9}, "'shift'"),
        ({"states": 10**6, "actions": 10}, "needs about"),
    ],
)
def test_bad_families(options, says):
    with pytest.raises(ValueError, match=says):
        mm.tier_tasks(**options)
