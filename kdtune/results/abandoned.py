"""What ``--fresh`` put aside and no strategy is charged for any more: it stays on the books, each joule once."""

from collections.abc import Mapping, Sequence
from typing import Any

from kdtune.energy.ledger import read_folder
from kdtune.energy.several_nodes import charge_all
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.results.shared_costs import KINDS, Inputs, charged_parts, read_shared


def abandoned_parts(folder: StrategyFolder) -> dict[str, Any]:
    """What earlier runs of a strategy took that were put aside, less what a strategy of its study is still charged.

    Several runs may have used the same session, teacher logits and compilation, so these stand by their ids.

    Args:
        folder: The strategy's.

    Returns:
        In microjoules: ``own``, what the runs used by themselves, and by their ids the inputs of each of
        :data:`kdtune.results.shared_costs.KINDS`; each as its own run was charged.

    Raises:
        ResultsError: A file of one of them is damaged.
    """
    study = StudyFolder(folder.path.parent)
    own_uj = 0
    left: Inputs = {kind: {} for kind in KINDS}
    if aside := study.abandoned(folder.path.name):
        billed = [charged_parts(read_shared(strategy)) for strategy in study.strategies()]
        for run in aside:
            own_uj += charge_all(read_folder(run.ledger)).charged_uj(dedicated=run.read_study().is_dedicated)
            _add(left, charged_parts(read_shared(run)))
        left = _without(left, billed)
    return {"own": own_uj, **left}


def sum_of_parts(parts: Mapping[str, Any]) -> int:
    """All that :func:`abandoned_parts` found, in microjoules."""
    return int(parts["own"]) + sum(sum(parts[kind].values()) for kind in KINDS)


def abandoned_uj(results: Sequence[Mapping[str, Any]]) -> int:
    """What runs of some strategies took that were put aside and that none of them is charged, each joule once.

    Args:
        results: Their ``result.json`` documents.
    """
    left: Inputs = {kind: {} for kind in KINDS}
    for result in results:
        _add(left, result["cost"]["abandoned_parts_uj"])
    left = _without(left, [result["cost"]["shared_parts_uj"] for result in results])
    return sum_of_parts({"own": sum(result["cost"]["abandoned_parts_uj"]["own"] for result in results), **left})


def _add(total: Inputs, parts: Mapping[str, Any]) -> None:
    for kind, known in total.items():
        for name, energy_uj in parts[kind].items():  # of two attributions, the one that has idle power in it
            known[name] = max(energy_uj, known.get(name, 0))


def _without(parts: Inputs, billed: Sequence[Inputs]) -> Inputs:
    return {
        kind: {name: uj for name, uj in by_name.items() if not any(name in one[kind] for one in billed)}
        for kind, by_name in parts.items()
    }
