"""OpenSpiel's games: published values, the same games built here, and what is refused."""

import sys

import numpy as np
import pytest

import metamarl as mm
from metamarl.envs._openspiel_walk import END


def test_without_openspiel_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspiel", None)
    with pytest.raises(ImportError, match=r'pip install "metamarl\[openspiel\]"'):
        mm.from_openspiel("tic_tac_toe")


pyspiel = pytest.importorskip("pyspiel")


def test_tic_tac_toe_is_a_draw():
    game = mm.from_openspiel("tic_tac_toe")
    assert game.n_states == 4520 + 1  # 5478 positions, 958 of them final: one end
    assert game.n_actions == (10, 10)
    assert game.kind == "zero-sum"
    assert mm.solve(game).value.tolist() == [0.0, 0.0]
    ours = mm.make("tictactoe")
    uniform = mm.JointPolicy.uniform
    for player in range(2):
        theirs = mm.best_response(game, uniform(game), player)[0]
        assert theirs == pytest.approx(mm.best_response(ours, uniform(ours), player)[0], abs=1e-12)


@pytest.mark.parametrize("order", ["random", "descending"])
@pytest.mark.parametrize(
    ("payoff", "returns"), [("points", "point_difference"), ("win", "win_loss")]
)
def test_goofspiel_is_ours(order, payoff, returns):
    """Built here from its rules: the value is 0, and so are all values against uniform bids."""
    options = {"num_cards": 4, "points_order": order, "returns_type": returns}
    game = mm.from_openspiel("goofspiel", options)
    ours = mm.make("goofspiel", cards=4, order=order, payoff=payoff)
    assert mm.solve(game).value[0] == pytest.approx(0.0, abs=1e-12)
    # OpenSpiel pays points above the mean of both players: half the difference.
    for g in (game, ours):
        assert g.kind == "zero-sum"
    value = mm.best_response(game, mm.JointPolicy.uniform(game), 0)[0]
    known = mm.best_response(ours, mm.JointPolicy.uniform(ours), 0)[0]
    assert value == pytest.approx(known / (2 if payoff == "points" else 1), abs=1e-9)


def test_the_parameters_reach_the_game():
    """A wrapped OpenSpiel game that is reset can be the default one of 13 cards."""
    game = mm.from_openspiel("goofspiel", {"num_cards": np.int64(3), "points_order": "descending"})
    assert game.n_actions == (3, 3)
    assert "num_cards=3" in game.name
    assert "P0 hand: 1 2 3 \n" in game.states[int(game.initial.argmax())]
    again = mm.from_openspiel(
        pyspiel.load_game("goofspiel(num_cards=3,points_order=descending)"), None
    )
    assert again.states == game.states


@pytest.mark.parametrize(
    ("name", "values"),
    [("matrix_rps", [0, 0]), ("matrix_mp", [0, 0]), ("matrix_pd", [1, 1]), ("blotto", [0, 0])],
)
def test_matrix_games(name, values):
    game = mm.from_openspiel(name)
    assert game.n_states == 2
    found = mm.solve(game, "auto" if name == "matrix_pd" else "exact").value
    np.testing.assert_allclose(found, values, atol=1e-2 if name == "matrix_pd" else 1e-9)


def test_unequal_action_counts():
    rows = [[1.0, -1.0, 0.0], [-1.0, 1.0, 2.0]]
    made = pyspiel.create_matrix_game(rows, (-np.array(rows)).tolist())
    game = mm.from_openspiel(made)
    assert game.n_actions == (2, 3)
    assert mm.solve(game).value[0] == pytest.approx(0.0, abs=1e-12)


def test_chance_turns_and_one_player():
    """Catch: the ball falls from a random column of 5, and the paddle is in time for each."""
    game = mm.from_openspiel("catch")
    assert game.n_players == 1
    assert np.count_nonzero(game.initial) == 5
    assert mm.solve(game).value[0] == 1.0
    nim = mm.from_openspiel("nim", {"pile_sizes": "1;2;3", "is_misere": False})
    assert mm.solve(nim).value[0] == pytest.approx(-1.0)  # 1 xor 2 xor 3 = 0 (Bouton 1901)


def test_rewards_along_the_way():
    """Cliff walking (Sutton and Barto 2018, example 6.6): one up, four right, one down."""
    game = mm.from_openspiel("cliff_walking", {"height": 3, "width": 5, "horizon": 20})
    assert mm.solve(game).value[0] == -6.0


def test_a_text_without_a_clock_gets_one():
    """Oshi-zumo's text comes back after two bids of 0; its moves are limited all the same."""
    options = {"coins": 3, "size": 1, "horizon": 4}
    game = mm.from_openspiel("oshi_zumo", options)
    assert all(state == END or "\nmove " in state for state in game.states)
    assert not game.nodes.cyclic
    assert mm.from_openspiel("oshi_zumo", options, clock=True).states == game.states
    with pytest.raises(ValueError, match="play can go on for ever"):
        mm.from_openspiel("oshi_zumo", options, clock=False)
    endless = mm.from_openspiel(
        "oshi_zumo", {**options, "horizon": 1000}, clock=False, discount=0.9
    )
    assert endless.nodes.cyclic
    assert endless.n_states < game.n_states
    with pytest.raises(ValueError, match="'clock' be False: here the number of moves"):
        mm.from_openspiel("oshi_zumo", {**options, "horizon": 1000}, max_states=500)


def test_the_clock_is_exact():
    """Oshi-zumo by a recursion over OpenSpiel's own histories, whatever they print."""

    def value(state):
        if state.is_terminal():
            return state.returns()[0]
        rows, columns = state.legal_actions(0), state.legal_actions(1)
        worst = 1.0  # the first player announces: a lower bound, the same in both
        best = -1.0
        for a in rows:
            worst = 1.0
            for b in columns:
                following = state.clone()
                following.apply_actions([a, b])
                worst = min(worst, value(following))
            best = max(best, worst)
        return best

    options = {"coins": 2, "size": 1, "horizon": 3}
    game = mm.from_openspiel("oshi_zumo", options)
    known = value(pyspiel.load_game("oshi_zumo", options).new_initial_state())
    table, values = game.table, np.zeros(game.n_states)
    for _ in range(5):
        rewards = table.reward[0] + table.successors() @ values
        for s in range(game.n_states):
            block = rewards[table.rows[s] : table.rows[s + 1]].reshape(table.counts[s])
            values[s] = block.min(1).max()
    assert game.initial @ values == known


def test_states_that_are_told_apart_by_too_little_are_refused():
    with pytest.raises(
        ValueError, match=r"'state' parameter .* a function that tells states apart"
    ):
        mm.from_openspiel("tic_tac_toe", state=lambda s: s.move_number())
    histories = mm.from_openspiel(
        "goofspiel", {"num_cards": 2}, state=lambda s: tuple(s.full_history() and s.history())
    )
    assert mm.solve(histories).value[0] == 0.0
    assert histories.board is None


def test_more_than_two_players():
    game = mm.from_openspiel("matching_pennies_3p")
    assert game.n_actions == (2, 2, 2)
    uniform = mm.JointPolicy.uniform(game)
    assert mm.nash_gap(game, uniform) == 0.0  # Jordan (1993): its only equilibrium


def test_what_a_markov_game_cannot_be_is_refused():
    for name, reason in [
        ("kuhn_poker", "hidden information"),
        ("leduc_poker", "hidden information"),
        ("mfg_crowd_modelling", "mean-field"),
    ]:
        with pytest.raises(ValueError, match=f"'game' parameter of from_openspiel .*{reason}"):
            mm.from_openspiel(name)
    with pytest.raises(ValueError, match="hidden information"):
        mm.from_openspiel("goofspiel", {"num_cards": 3, "imp_info": True})


def test_bad_input(capfd):
    with pytest.raises(ValueError, match="did you mean 'goofspiel'"):
        mm.from_openspiel("goofspeil")
    with pytest.raises(ValueError, match=r"'parameters of goofspiel' .*did you mean 'num_cards'"):
        mm.from_openspiel("goofspiel", {"num_card": 4})
    assert capfd.readouterr().err == ""  # OpenSpiel would print what it does not know
    with pytest.raises(ValueError, match=r"'parameters' parameter .* Wrong type"):
        mm.from_openspiel("goofspiel", {"num_cards": "four"})
    with pytest.raises(
        ValueError, match=r"'max_states' parameter .* large enough for connect_four"
    ):
        mm.from_openspiel("connect_four", max_states=100)
    for arguments, options, message in [
        ((7,), {}, "'game' parameter of from_openspiel must be a name"),
        (("nim", [1]), {}, "'parameters' parameter of from_openspiel must be a dictionary"),
        (("nim",), {"clock": 1}, "'clock' parameter"),
        (("nim",), {"state": 1}, "'state' parameter of from_openspiel must be a function"),
        (("nim",), {"max_states": 1.5}, "'max_states' parameter"),
    ]:
        with pytest.raises(TypeError, match=message):
            mm.from_openspiel(*arguments, **options)


def test_plays_as_an_environment():
    env = mm.to_pettingzoo(mm.from_openspiel("tic_tac_toe"), "ansi", api="aec")
    env.reset(seed=0)
    env.step(4)
    assert "\n...\n.x.\n...\n" in env.render()
    assert env.agent_selection == "player_1"
