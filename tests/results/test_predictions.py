import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtune.errors import ResultsError
from kdtune.results.predictions import add_predictions, read_predictions
from tests.damage import damaged


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("predictions") / "predictions.npz"


def test_predictions_of_further_repeats_are_added(path):
    assert read_predictions(path) == {}
    add_predictions(path, {0: np.arange(50)})
    add_predictions(path, {1: np.arange(50) + 1})
    assert {name: array[0] for name, array in read_predictions(path).items()} == {"seed_0": 0, "seed_1": 1}


@given(st.data())
def test_a_damaged_file_is_read_unchanged_or_is_an_error_that_names_it(path, data):
    add_predictions(path, {0: np.arange(50)})
    raw = path.read_bytes()
    try:
        path.write_bytes(data.draw(damaged(raw)))
        assert all((array.sum() == 1225) or name != "seed_0" for name, array in read_predictions(path).items())
    except ResultsError as error:
        assert str(path) in str(error) and "delete it" in str(error)
    finally:
        path.write_bytes(raw)


def test_nothing_is_unpickled(path, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.savez(path, seed_0=np.array([Trap()], dtype=object))
    with pytest.raises(ResultsError, match="predictions"):
        read_predictions(path)
    assert not (tmp_path / "sprung").exists()
