"""What kdtune changes in Ray when it starts Ray, and when it joins a cluster."""

import pytest
import ray

from kdtune.execution.ray.ray_start import start_ray


@pytest.mark.parametrize(("address", "are_left_out"), [(None, True), ("127.0.0.1:6379", False)])
def test_daemons_are_left_out_of_a_new_ray_and_never_of_a_cluster_that_is_joined(monkeypatch, address, are_left_out):
    seen = []

    def init(**options):
        seen.append((ray._private.parameter.RayParams, ray._private.services.start_api_server))

    before = ray._private.parameter.RayParams, ray._private.services.start_api_server
    monkeypatch.setattr(ray, "init", init)
    start_ray(address)
    assert [both != before for both in seen] == [are_left_out]
    assert (ray._private.parameter.RayParams, ray._private.services.start_api_server) == before
