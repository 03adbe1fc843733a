import pytest

from kdtune.planning.resume_checks import _identity
from kdtune.results.trial_log import TrialLog
from kdtune.specs import load_study
from kdtune.specs.component import Component
from kdtune.specs.quantisation import Quantisation
from kdtune.specs.suggestion import Suggestion
from kdtune.training.resolution import resolved_trial
from tests.studies import small_study


@pytest.mark.parametrize("reduce_range", [True, None])
def test_a_trial_belongs_to_its_study_whichever_bits_the_first_machine_chose(tmp_path, reduce_range):
    study = load_study(small_study(strategies={"ptq": {}}))
    suggested = Suggestion(method=Component(name="ce"), quantisation=Quantisation(kind="ptq"))
    began = suggested.quantisation.model_copy(update={"reduce_range": reduce_range})
    spec = resolved_trial(study, suggested.model_copy(update={"quantisation": began}), 0)
    log = TrialLog(tmp_path / "trials.jsonl")
    trial = log.suggestion(spec.identity, 0, 0, 0, suggested.as_point(), spec)
    assert _identity(study, trial) == spec.identity
