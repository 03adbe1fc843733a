"""Runs one check of a conformance suite on a faulty component."""

import pytest

from kdtune.errors import UsageError
from kdtune.specs.component import component_of

#: What a failed check raises, or kdtune itself where it refuses the component.
FAILURE = (AssertionError, pytest.fail.Exception, UsageError)


def refuses(suite, check, component, message, *arguments):
    """Assert that a check of a suite fails for a component, with this message."""
    with pytest.raises(FAILURE, match=message):
        getattr(suite(), check)(component_of(component), *arguments)
