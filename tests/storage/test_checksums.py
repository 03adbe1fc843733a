import pytest

from kdtune.storage.checksums import sealed, unsealed


def test_a_sealed_document_that_was_changed_is_refused():
    document = sealed({"charged_uj": 5})
    assert unsealed(document) == {"charged_uj": 5} == unsealed({"charged_uj": 5})
    with pytest.raises(ValueError, match="changed after it was written"):
        unsealed({**document, "charged_uj": 6})
