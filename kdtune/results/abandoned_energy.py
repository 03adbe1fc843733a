"""Energy of runs that ``--fresh`` put aside. It is reported, but charged to no strategy; each joule is counted once."""

from collections.abc import Sequence

from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.cost_document import AbandonedParts, Cost, Inputs
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.shared_document import KINDS
from kdtune.results.shared_inputs import read_shared


def abandoned_parts(folder: StrategyFolder) -> AbandonedParts:
    """Return the energy of earlier runs of a strategy that were put aside.

    Inputs that a strategy of the study is still charged for are left out. The others are listed by their ids, since
    several runs may have used the same session, teacher logits or compiled code.

    Args:
        folder: The strategy's folder.

    Returns:
        The energy that the runs used by themselves and that of each input, both as they were charged to the runs.

    Raises:
        ResultsError: A file of one of the runs is damaged.
    """
    study = StudyFolder(folder.path.parent)
    own_uj = 0
    left: Inputs = {kind: {} for kind in KINDS}
    if aside := study.abandoned(folder.path.name):
        billed = [read_shared(strategy).charged_parts for strategy in study.strategies()]
        for run in aside:
            own_uj += account_of_nodes(read_folder(run.ledger)).charged_uj(dedicated=run.read_study().is_dedicated)
            _add(left, read_shared(run).charged_parts)
        left = _without(left, billed)
    return AbandonedParts(own_uj, **left)


def abandoned_uj(costs: Sequence[Cost]) -> int:
    """Return the energy of put-aside runs that is charged to none of several strategies, in microjoules.

    Args:
        costs: Costs of the strategies.
    """
    left: Inputs = {kind: {} for kind in KINDS}
    for cost in costs:
        _add(left, cost.abandoned_parts_uj.inputs)
    left = _without(left, [cost.shared_parts_uj for cost in costs])
    return AbandonedParts(sum(cost.abandoned_parts_uj.own for cost in costs), **left).sum_uj


def _add(total: Inputs, parts: Inputs) -> None:
    for kind, known in total.items():
        for name, energy_uj in parts.get(kind, {}).items():  # the greater one includes idle energy
            known[name] = max(energy_uj, known.get(name, 0))


def _without(parts: Inputs, billed: Sequence[Inputs]) -> Inputs:
    return {
        kind: {name: uj for name, uj in by_name.items() if not any(name in one.get(kind, {}) for one in billed)}
        for kind, by_name in parts.items()
    }
