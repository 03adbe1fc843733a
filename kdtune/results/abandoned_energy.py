"""What ``--fresh`` put aside and no strategy is charged for any more: it stays on the books, each joule once."""

from collections.abc import Sequence

from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import account_of_nodes
from kdtune.results.cost_document import AbandonedParts, Cost, Inputs
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.shared_document import KINDS
from kdtune.results.shared_inputs import read_shared


def abandoned_parts(folder: StrategyFolder) -> AbandonedParts:
    """What earlier runs of a strategy took that were put aside, less what a strategy of its study is still charged.

    Several runs may have used the same session, teacher logits and compilation, so these stand by their ids.

    Args:
        folder: The strategy's.

    Returns:
        What the runs used by themselves, and the inputs of each kind by their ids; each as its own run was charged.

    Raises:
        ResultsError: A file of one of them is damaged.
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
    """What runs of some strategies took that were put aside and that none of them is charged, each joule once.

    Args:
        costs: Of the strategies.
    """
    left: Inputs = {kind: {} for kind in KINDS}
    for cost in costs:
        _add(left, cost.abandoned_parts_uj.inputs)
    left = _without(left, [cost.shared_parts_uj for cost in costs])
    return AbandonedParts(sum(cost.abandoned_parts_uj.own for cost in costs), **left).sum_uj


def _add(total: Inputs, parts: Inputs) -> None:
    for kind, known in total.items():
        for name, energy_uj in parts[kind].items():  # of two attributions, the one that has idle power in it
            known[name] = max(energy_uj, known.get(name, 0))


def _without(parts: Inputs, billed: Sequence[Inputs]) -> Inputs:
    return {
        kind: {name: uj for name, uj in by_name.items() if not any(name in one[kind] for one in billed)}
        for kind, by_name in parts.items()
    }
