"""What tests of resources run in Ray's workers, which import this module: it imports no torch, which takes seconds."""

import os
import time

import ray

from kdtune.planning.resources import gpu_indices


class Meeting:
    """Counts who has come."""

    def __init__(self, wanted):
        self.wanted, self.come = wanted, 0

    def arrive(self):
        self.come += 1
        return (self.come - 1) // self.wanted

    def is_whole(self, group):
        return self.come >= (group + 1) * self.wanted


def indices_when_all_are_there(meeting):
    """The indices of this worker's GPU, once as many workers as were wanted have one."""
    group = ray.get(meeting.arrive.remote())
    while not ray.get(meeting.is_whole.remote(group)):
        time.sleep(0.05)
    return gpu_indices(1.0)


def own_pid():
    return os.getpid()
