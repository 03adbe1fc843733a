import pytest

from kdtune.errors import UsageError
from kdtune.specs import SearchSpace
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import Outcome
from kdtune.strategies.guarded import GuardedStrategy

SOURCE = """
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import Strategy


class Mine(Strategy):
    judges_epochs = True
    has_rungs = True

    def expected_trials(self):
        return 2

    def ask(self):
        return [Suggestion(values={"tau": 2})]

    def tell(self, outcomes):
        outcomes[0].accuracy  # line 17

    def report(self, suggestion, epoch, score):
        raise ValueError("no score")

    def export(self, folder):
        (folder / "missing" / "file").write_text("")
"""


@pytest.fixture
def strategy(tmp_path):
    (tmp_path / "search.py").write_text(SOURCE)
    space = SearchSpace.model_validate({"tau": {"values": [2, 4]}})
    return GuardedStrategy(f"{tmp_path}/search.py:Mine", space, {}, 3)


def test_what_a_strategy_raises_at_run_time_is_one_message_with_its_place(strategy):
    assert (strategy.seed, strategy.judges_epochs, strategy.has_rungs, strategy.planned()) == (3, True, True, None)
    (suggestion,) = strategy.ask()
    with pytest.raises(UsageError, match=r"search.py:Mine: tell\(\) fails: AttributeError: .*search.py, line 17\)"):
        strategy.tell([Outcome(suggestion, 0.5, 1.0)])
    with pytest.raises(UsageError, match=r"search.py:Mine: report\(\) fails: ValueError: no score"):
        strategy.report(Suggestion(values={"tau": 2}), 1, 0.5)


def test_a_file_that_cannot_be_written_is_not_blamed_on_the_strategy(strategy, tmp_path):
    with pytest.raises(FileNotFoundError):
        strategy.export(tmp_path)
