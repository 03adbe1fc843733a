import pytest

from kdtune.data.sources import describe_data, with_described_data
from kdtune.errors import UsageError
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.storage.paths import data_dir
from tests.studies import small_study


def test_options_of_a_built_in_data_set_are_refused():
    """They would otherwise change nothing but the identity of the study."""
    message = "digits.*: digits has no options; remove image_size from the study"
    with pytest.raises(UsageError, match=message):
        describe_data(Component(name="digits", options={"image_size": 64}), data_dir(None))
    with pytest.raises(UsageError, match=message):
        with_described_data(load_study(small_study(dataset={"ref": "digits", "image_size": 64})))
