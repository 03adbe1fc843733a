"""A real study killed at random moments. A hundred kills are in ``benchmarks/torture.py``, a matrix in ``kills.py``."""

from datetime import date
from itertools import count

import pytest

from benchmarks import chain as chains

pytestmark = pytest.mark.study


def test_nothing_is_lost_whatever_is_killed_and_when(tmp_path, cache_folder):
    """Other moments and other victims every day, the same all day long."""
    (tmp_path / "undisturbed").mkdir()
    outcome, cold_s = chains.once(tmp_path / "undisturbed", cache_folder)
    # The chain may begin with the cache that this filled; a resume has less to do in any case.
    expected = chains.Undisturbed(outcome, cold_s, warm_s=0.6 * cold_s)
    for seed in count(date.today().toordinal()):
        place = tmp_path / str(seed)
        place.mkdir()
        chain = chains.one_chain(seed, place, cache_folder, expected, kills=2)
        assert not chain.faults, f"{chains.told(chain)}\n{chain.last_words()}"
        if chain.kills:  # else the study had come to its end before
            break
