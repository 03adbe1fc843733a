"""One process meters one study or experiment at a time."""

import threading

import pytest

from kdtune.errors import UsageError
from kdtune.execution import metering_guard


class Work:
    """Metered work that records that it was ended."""

    def __init__(self, within=None):
        self.ends = 0
        metering_guard.begin(self.end, within)

    def end(self):
        self.ends += 1
        metering_guard.ended(self.end)


class Elsewhere:
    """Work that another thread has begun and is doing."""

    def __init__(self, within=None):
        self._begun, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(within,), daemon=True)
        self._thread.start()
        self._begun.wait()

    def _run(self, within):
        self.work = Work(within)
        self._begun.set()
        self._over.wait()

    def leave(self):
        self._over.set()
        self._thread.join()


def test_work_that_tune_stopped_without_notice_in_this_thread_is_ended_by_the_next():
    first = Work(within="ray.tune.tune")
    second = Work()
    assert (first.ends, second.ends) == (1, 0)
    second.end()


def test_a_study_within_a_study_is_refused():
    """As from a watcher, in the thread of the outer study."""
    outer = Work()
    with pytest.raises(UsageError, match="one after the other"):
        Work()
    assert outer.ends == 0
    outer.end()


@pytest.mark.parametrize("within", [None, __name__])
def test_work_is_refused_until_that_of_another_thread_has_ended(within):
    other = Elsewhere(within)
    with pytest.raises(UsageError, match="one after the other"):
        Work()
    other.work.end()
    Work().end()
    other.leave()


@pytest.mark.parametrize("how", ["its thread ended", "its thread left Tune"])
def test_work_that_stopped_without_notice_in_another_thread_is_ended_by_the_next(how):
    other = Elsewhere(within="ray.tune.tune" if how == "its thread left Tune" else None)
    if how == "its thread ended":
        other.leave()
    Work().end()
    assert other.work.ends == 1
    other.leave()
