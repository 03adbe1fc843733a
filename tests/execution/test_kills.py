"""A real study killed at random moments. A hundred kills are in ``benchmarks/torture.py``, a matrix in ``kills.py``."""

from datetime import date
from itertools import count

import pytest

from benchmarks import chain as chains
from tests.forked import Forked, begin

pytestmark = pytest.mark.study

#: Fewer trials and epochs than in the torture test, but enough for kills in every phase.
SHORT = ("--epochs", "5", "--set", "teacher_training.epochs=4", "--set", "teacher_training.milestones=[2, 3]")
SHORT += ("--set", "strategies.random.trials=1", "--set", "strategies.optuna.trials=3")
SHORT += ("--set", "training.batch_size=100", "--set", "teacher_training.batch_size=100")

#: Factor by which the start of Ray lengthens a study of so few trials.
RAY_TAKES_LONGER = 2.0


@pytest.fixture(scope="module", autouse=True)
def forked_commands():
    """Fork the commands: without the imports, fewer kills hit a command that has not begun to work."""
    Forked("", []).wait()  # the imports do not belong to the duration of the study, from which the moments are drawn
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(chains, "begin", begin)
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache_folder):
    """The study without a kill, and how long it takes inline."""
    return chains.once(tmp_path_factory.mktemp("undisturbed"), cache_folder, *SHORT, "--inline")


@pytest.mark.parametrize(("more", "longer"), [(("--inline",), 1.0), ((), RAY_TAKES_LONGER)])
def test_kills_at_random_moments_lose_nothing(undisturbed, tmp_path, cache_folder, more, longer):
    """Moments and killed processes depend on the day: its number is the seed."""
    outcome, cold_s = undisturbed[0], longer * undisturbed[1]
    # The chain may begin with the cache that this study filled; a resume has less work in any case.
    expected = chains.Undisturbed(outcome, cold_s, warm_s=0.6 * cold_s)
    for seed in count(date.today().toordinal()):
        place = tmp_path / str(seed)
        place.mkdir()
        chain = chains.one_chain(seed, place, cache_folder, expected, 1, (*SHORT, *more))
        assert not chain.faults, f"{chains.told(chain)}\n{chain.last_words()}"
        if chain.kills:  # otherwise the study finished first
            break
