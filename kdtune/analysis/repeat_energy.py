"""Energy of each repeat of a strategy, and ratios of two strategies' energies with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kdtune.analysis.green_index import EnergyKey
from kdtune.analysis.verdicts import Interval, paired, t_interval
from kdtune.energy.carbon import J_PER_KWH
from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.folder import StrategyFolder
from kdtune.results.outcome import own_energy_of_repeats
from kdtune.results.strategy_result import StrategyResult
from kdtune.results.trial_log import TrialLog

#: Largest share of energy that repeats may have in common and still count as independent measurements.
MOST_SHARED = 0.1

#: Factor within which the energy is taken to be known that belongs to no single repeat and was measured once.
COMMON_FACTOR = 2.0


@dataclass(frozen=True)
class RepeatEnergy:
    """Energy of the repeats of a strategy.

    Attributes:
        by_seed: Energy in microjoules of each repeat that has a model. Energy that all repeats have in common is
            divided equally.
        common: The common share, as a fraction.
        common_uj: The part of each repeat's energy that is common to all, in microjoules.
    """

    by_seed: Mapping[int, float]
    common: float
    common_uj: float

    def with_common_times(self, factor: float) -> "RepeatEnergy":
        """Return the energies as if what the repeats have in common were that many times as large, and known."""
        more_uj = (factor - 1) * self.common_uj
        return RepeatEnergy({seed: uj + more_uj for seed, uj in self.by_seed.items()}, 0.0, self.common_uj + more_uj)


def energy_of_repeats(folder: StrategyFolder, result: StrategyResult, key: EnergyKey) -> RepeatEnergy | None:
    """Return the energy of each repeat of a strategy; None if it was not measured.

    Args:
        folder: Folder of the strategy.
        result: Its result.
        key: Which energy: as run, or for training only.
    """
    return energies_of_repeats(folder, result, [key])[0]


def energies_of_repeats(
    folder: StrategyFolder, result: StrategyResult, keys: Sequence[EnergyKey]
) -> list[RepeatEnergy | None]:
    """Return several energies of each repeat, for which the ledgers are read once; see :func:`energy_of_repeats`."""
    if all(getattr(result.cost, key) is None for key in keys):
        return [None for _ in keys]
    account, log = account_of_nodes(read_folder(folder.ledger)), TrialLog.read(folder.trials)
    own = own_energy_of_repeats(folder.read_study(), log, account)
    return [_with_common(own, result, key) for key in keys]


def _with_common(own: Sequence[int], result: StrategyResult, key: EnergyKey) -> RepeatEnergy | None:
    """Divide what the repeats have in common between them, and return their energies."""
    cost = result.cost
    charged_kwh: float | None = getattr(cost, key)
    if charged_kwh is None:
        return None
    total = charged_kwh / cost.carbon.pue * J_PER_KWH * 1e6
    common = max(0.0, total - sum(own))
    each_uj = common / len(own)
    by_seed = {repeat.seed: uj + each_uj for repeat, uj in zip(result.repeats, own, strict=True) if repeat.test}
    return RepeatEnergy(by_seed, common / total if total else 1.0, each_uj)


def energy_ratio(first: RepeatEnergy | None, second: RepeatEnergy | None) -> Interval | None:
    """Return the geometric mean of the ratios ``first / second``, paired by seed, and the interval of its logarithm.

    The interval has no bounds if a side's repeats have more than :data:`MOST_SHARED` of their energy in common, since
    they are then no independent measurements. None without pairs.
    """
    if first is None or second is None:
        return None
    logs = ({seed: math.log(uj) for seed, uj in one.by_seed.items() if uj > 0} for one in (first, second))
    interval = t_interval(paired(*logs))
    if interval is None:
        return None
    if max(first.common, second.common) > MOST_SHARED:
        interval = Interval.unbounded(interval.mean, interval.n)
    return interval.exponential()


def energy_ratio_with_known_common(
    first: RepeatEnergy, second: RepeatEnergy, factor: float = COMMON_FACTOR
) -> Interval | None:
    """Return the ratio ``first / second`` with the interval that holds for a common part of uncertain size.

    What all repeats have in common (shared inputs, idle power) was measured once, so its spread is unknown. The
    interval covers those for a common part that is ``factor`` times smaller, as measured, and ``factor`` times larger
    on both sides. None without pairs.
    """
    found = [
        energy_ratio(first.with_common_times(times), second.with_common_times(times))
        for times in (1.0, 1.0 / factor, factor)
    ]
    known = [one for one in found if one is not None]
    if not known:
        return None
    return Interval(known[0].mean, min(one.low for one in known), max(one.high for one in known), known[0].n)
