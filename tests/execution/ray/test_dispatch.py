"""Messages about failed workers name the cause without the frames of Ray."""

import ray

from kdtune.errors import MachineError
from kdtune.execution.ray.dispatch import as_kdtune_error, last_line

#: Message of Ray 2.60, with colours.
IN_ITS_CREATION = """The actor died because of an error raised in creation, \x1b[36mray::Meter.__init__()\x1b[39m
  File "meter_actor.py", line 50, in __init__
    hardware = sensors.hardware()
\x1b[36mFileNotFoundError\x1b[39m: [Errno 2] No such file or directory: 'scontrol'
"""


def test_the_last_line_of_an_actors_error_is_its_cause():
    assert last_line(Exception(IN_ITS_CREATION)) == "FileNotFoundError: [Errno 2] No such file or directory: 'scontrol'"
    assert last_line(KeyError()) == "KeyError"
    told = as_kdtune_error(ray.exceptions.RaySystemError(IN_ITS_CREATION))
    assert isinstance(told, MachineError) and str(told).endswith("No such file or directory: 'scontrol'")
