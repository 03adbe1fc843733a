"""A simulated node: tests advance its counters, and it makes the records that a meter would write."""

from collections.abc import Mapping

from kdtune.energy.ledger import Record, Window
from kdtune.energy.neighbours import Neighbours
from kdtune.energy.sensors.node import Counters, Hardware

W = 1_000_000  # microwatts
J = 1_000_000  # microjoules
S = 1_000_000  # microseconds


def two_cores(
    tdp_uw: int = 8 * W,
    ram_uw: int = 20 * W,
    cores: int = 2,
    rapl: Mapping[str, int] | None = None,
    gpus: tuple[str, ...] = (),
) -> Hardware:
    """Return hardware with two cores of 8 W together and 20 W of memory by default.

    With RAPL zones (their ranges by name), the design power is not used.
    """
    return Hardware(
        node="node",
        cpu_model="a CPU",
        cores=cores,
        cpu_quality="counter" if rapl else "modelled",
        tdp_uw=tdp_uw,
        ram_uw=ram_uw,
        rapl_range_uj=dict(rapl or {}),
        gpus=dict.fromkeys(gpus, "a GPU"),
        gpu_quality=dict.fromkeys(gpus, "counter"),
    )


class Node:
    """A node with one ledger. Its counters start far from 0, as on a machine that has been running for some time."""

    def __init__(self, hardware: Hardware, boot: str = "boot-1") -> None:
        self.hardware = hardware
        self.records: list[Record] = []
        self.boot = boot
        self.t_ns = 5_000_000_000_123
        self.busy_us = 700_000_011
        self.study_us = 0
        self.rapl_uj = {zone: limit // 2 for zone, limit in hardware.rapl_range_uj.items()}
        self.gpu_mj = dict.fromkeys(hardware.gpus, 123_456_789)
        self.windows: dict[str, tuple[Window, int]] = {}
        self._neighbours = [Neighbours(0, 0)]
        self._lives = 0
        self._seq = 0

    def work(
        self,
        seconds: float,
        windows: Mapping[str, float] | None = None,
        *,
        study: float = 0.0,
        other: float = 0.0,
        gpu_j: Mapping[str, float] | None = None,
        rapl_j: Mapping[str, float] | None = None,
    ) -> "Node":
        """Advance the counters.

        Args:
            seconds: Time that passes.
            windows: CPU seconds that each window uses, by id.
            study: CPU seconds that the study's other processes use.
            other: CPU seconds that foreign processes use.
            gpu_j: Joules that each GPU uses, by UUID.
            rapl_j: Joules that each RAPL zone uses, by name.
        """
        in_windows = 0
        for name, cpu_s in (windows or {}).items():
            window, spent_us = self.windows[name]
            self.windows[name] = window, spent_us + round(cpu_s * S)
            in_windows += round(cpu_s * S)
        self.t_ns += round(seconds * 1e9)
        self.study_us += in_windows + round(study * S)
        self.busy_us += in_windows + round(study * S) + round(other * S)
        for uuid, joules in (gpu_j or {}).items():
            self.gpu_mj[uuid] += round(joules * 1000)
        for zone, joules in (rapl_j or {}).items():
            self.rapl_uj[zone] = (self.rapl_uj[zone] + round(joules * J)) % self.hardware.rapl_range_uj[zone]
        return self

    def start(self, began: Counters | None = None) -> "Node":
        """Start another meter."""
        self._lives += 1
        self._seq = 0
        self.windows = {}
        return self._append("start", hardware=self.hardware, began=began)

    def resume(self) -> "Node":
        """Restart the meter after it was killed."""
        self._lives += 1
        self._seq = 0
        return self._append("resume", hardware=self.hardware)

    def others_have(self, state: Neighbours) -> "Node":
        """Set what other studies hold on the node from a moment after the last record on."""
        self._neighbours.append(state)
        return self

    def sample(self) -> "Node":
        return self._append("sample")

    def open(self, window: Window) -> "Node":
        self.windows[window.id] = window, 0
        return self._append("open", window=window)

    def close(self, name: str) -> "Node":
        self._append("close", window=self.windows[name][0], reason="done")
        del self.windows[name]
        return self

    def stop(self) -> "Node":
        return self._append("stop")

    def reboot(self) -> "Node":
        """Reboot the machine, which resets all counters, including those of energy."""
        self.boot += "+"
        self.t_ns = 40_000_000_000
        self.busy_us = 3_000_000
        self.study_us = 0
        self.windows = {}
        self._neighbours = [Neighbours(0, 0)]
        self.rapl_uj = dict.fromkeys(self.rapl_uj, 0)
        self.gpu_mj = dict.fromkeys(self.gpu_mj, 0)
        return self

    def counters(self) -> Counters:
        return Counters(self.boot, self.t_ns, 1.5e9, self.busy_us, dict(self.rapl_uj), dict(self.gpu_mj))

    def _append(self, kind, window=None, reason=None, hardware=None, began=None) -> "Node":
        states = tuple(self._neighbours) if any(state.others for state in self._neighbours) else ()
        self._neighbours = self._neighbours[-1:]
        spent = {name: us for name, (_, us) in self.windows.items()}
        meter = f"meter-{self._lives}"
        self.records.append(
            Record(
                kind, meter, self._seq, self.counters(), self.study_us, spent, window, reason, hardware, states, began
            )
        )
        self._seq += 1
        return self


def trial(name: str, cpus: float = 1, gpus: Mapping[str, float] | None = None, bucket: str = "trials") -> Window:
    return Window(id=name, bucket=bucket, pid=1000, cpus=cpus, gpus=dict(gpus or {}))
