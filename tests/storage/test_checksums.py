import pytest

from kdtune.storage.checksums import verified, with_checksum


def test_a_changed_document_with_a_checksum_is_refused():
    document = with_checksum({"charged_uj": 5})
    assert verified(document) == {"charged_uj": 5} == verified({"charged_uj": 5})
    with pytest.raises(ValueError, match="changed after it was written"):
        verified({**document, "charged_uj": 6})
