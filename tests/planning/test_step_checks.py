"""Strategies, temperatures and losses of users that are wrong in all the ways that a check has to name."""

from contextlib import chdir

import pytest
import torch

from kdtune.errors import SpecError
from kdtune.planning.budget import Budget
from kdtune.planning.run_arguments import validate_run_arguments
from kdtune.planning.study_check import check_study
from kdtune.storage.paths import data_dir
from tests.studies import small_study

SEARCH = """
from kdtune.specs.component import Component
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import OneRound, Strategy


class Sound(OneRound):
    def suggestions(self):
        return [Suggestion(values={"tau": tau}) for tau in self.space["tau"].bounds]


class Raises(OneRound):
    def suggestions(self):
        return [1 / 0]  # line 14


class Nothing(OneRound):
    def suggestions(self):
        pass


class Empty(OneRound):
    def suggestions(self):
        return []


class Tables(OneRound):
    def suggestions(self):
        return [{"tau": 4}]


class Generator(OneRound):
    def suggestions(self):
        yield Suggestion(values={"tau": 4})

    def expected_trials(self):
        return 1


class Hot(OneRound):
    def suggestions(self):
        return [Suggestion(values={"tau": 4}), Suggestion(values={"tau": 1e6})]


class Cold(OneRound):
    def suggestions(self):
        return [Suggestion(values={"tau": -1})]


class NotFinite(OneRound):
    def suggestions(self):
        return [Suggestion(values={"tau": float("nan")})]  # line 52


class Heavy(OneRound):
    def suggestions(self):
        return [Suggestion(values={"tau": 4, "alpha": 1.5, "learning_rate": -1})]


class Misspelt(OneRound):
    def suggestions(self):
        return [Suggestion(values={"tua": 4})]


class NoSuchTemperature(OneRound):
    def suggestions(self):
        return [Suggestion(temperature=Component(name="stochastik"))]


class Uncounted(Strategy):
    def ask(self):
        return [Suggestion(values={"tau": 4})]


class Text(Sound):
    def expected_trials(self):
        return "two"


class Unmade(Sound):
    def __init__(self, space, options, seed):
        raise KeyError("tau")
"""

TAU = """
import torch

from kdtune.specs.frozen_model import FrozenModel
from kdtune.temperature.base import Temperature, TemperaturePolicy


class Options(FrozenModel):
    tau: float = 4


class Sound(TemperaturePolicy):
    Options = Options

    def __init__(self, options, context):
        self.tau, self.epochs, self.epoch = options.tau, context.epochs, 0

    def begin_epoch(self, epoch, steps):
        self.epoch, self.steps = epoch, steps

    def of(self, student, step):
        return torch.tensor(float(self.tau))

    def __call__(self, student, teacher, step):
        return Temperature.same(self.of(student, step))


class Nan(Sound):
    def of(self, student, step):
        return torch.tensor(float("nan"))


class Zero(Sound):
    def of(self, student, step):
        return torch.tensor(0.0)


class LateZero(Sound):
    def of(self, student, step):
        return torch.tensor(float(self.epochs - 1 - self.epoch))


class LastStep(Sound):
    def of(self, student, step):
        return torch.tensor(1e5 if step == self.steps - 1 else 4.0)


class Infinite(Sound):
    def of(self, student, step):
        return torch.full((len(student), 1), float("inf"))


class Row(Sound):
    def of(self, student, step):
        return torch.full((len(student),), 4.0)


class Number(Sound):
    def __call__(self, student, teacher, step):
        return Temperature(4.0, 4.0, 16.0)


class Bare(Sound):
    def __call__(self, student, teacher, step):
        return torch.tensor(4.0)


class Raises(Sound):
    def of(self, student, step):
        raise RuntimeError("no tau today")  # line 70


class Unscheduled(Sound):
    depends_on_logits = False


class Short(Sound):
    depends_on_logits = False

    def scheduled(self, sizes):
        return Temperature.of_steps(torch.full((len(sizes) - 1,), 4.0))


class Falling(Sound):
    depends_on_logits = False

    def scheduled(self, sizes):
        return Temperature.of_steps(torch.linspace(4.0, 0.0, len(sizes)))


class Weightless(Sound):
    def __call__(self, student, teacher, step):
        tau = torch.tensor(4.0)
        return Temperature(tau, tau, tau / 0)


class Untrained(Sound):
    def of(self, student, step):
        return student.std() / teacher.std()


class Unmade(Sound):
    def __init__(self, options, context):
        self.tau = options.temperature


def function(student, teacher):
    return 4.0
"""

LOSSES = """
import torch
import torch.nn.functional as F


def sound(student, teacher, labels, temperature, alpha):
    target = F.softmax(teacher / temperature.teacher, 1)
    return F.cross_entropy(student / temperature.student, target)


def exploding(student, teacher, labels, temperature, alpha):
    return student.sum() * torch.exp(20 * temperature.student)


def naive(student, teacher, labels, temperature, alpha):
    exponents = torch.exp(student * 50 / temperature.student)
    return -(exponents / exponents.sum(1, keepdim=True)).log()[torch.arange(len(labels)), labels].mean()


def steep(student, teacher, labels, temperature, alpha):
    return (student - student.detach()).abs().sqrt().mean() + student.mean()


def constant(student, teacher, labels, temperature, alpha):
    return torch.zeros(())


def unrelated(student, teacher, labels, temperature, alpha):
    return torch.zeros((), requires_grad=True)


def number(student, teacher, labels, temperature, alpha):
    return float(student.mean())


def each_image(student, teacher, labels, temperature, alpha):
    return F.cross_entropy(student, labels, reduction="none")


def in_place(student, teacher, labels, temperature, alpha):
    teacher /= temperature.teacher
    return F.cross_entropy(student, F.softmax(teacher, 1))


def in_place_student(student, teacher, labels, temperature, alpha):
    student.div_(temperature.student)
    return F.cross_entropy(student, labels)


def raising(student, teacher, labels, temperature, alpha):
    return student @ teacher  # line 51

"""

STRATEGIES = {
    "Raises": "ask() fails|ZeroDivisionError: division by zero|search.py, line 14",
    "Nothing": "returned None; return a list such as [Suggestion(values={'tau': 4})]",
    "Empty": "its first round is empty: it trains nothing",
    "Tables": "returned a list whose item 0 is a value of type dict; return a list such as",
    "Generator": "returned a value of type generator; return a list",
    "Hot": "suggests {'tau': 1000000.0}: tau: has to lie between 0.0001 and 10000",
    "Cold": "suggests {'tau': -1}: tau: ",
    "NotFinite": "values.tau|finite number|search.py, line 52",
    "Heavy": "alpha: has to lie in [0, 1], got 1.5",
    "Misspelt": "tua",
    "NoSuchTemperature": "unknown temperature 'stochastik'; did you mean 'stochastic'",
    "Uncounted": "expected_trials() fails: NotImplementedError",
    "Text": "expected_trials() returned 'two'",
    "Unmade": "__init__() fails: KeyError: 'tau'",
}

TEMPERATURES = {
    "Nan": "tau is nan in epoch 1; it has to lie between 0.0001 and 10000",
    "Zero": "tau is 0 in epoch 1",
    "LateZero": "tau is 0 in epoch 3",
    "LastStep": "tau is 100000 in epoch 1",
    "Infinite": "tau is inf in epoch 1",
    "Row": "student has the shape (100,); it has to be () or (100, 1)",
    "Number": "student is of type float; return a torch.Tensor",
    "Bare": "returned a value of type Tensor; return Temperature.same(tau)",
    "Raises": "__call__() fails: RuntimeError: no tau today|tau.py, line 70",
    "Unscheduled": "scheduled() fails: NotImplementedError",
    "Short": "scheduled(): student has the shape",
    "Falling": "tau is 0 in epoch 1",
    "Weightless": "the weight is not a finite number in epoch 1",
    "Untrained": "__call__() fails: NameError",
    "Unmade": "__init__() fails: AttributeError",
    "function": "has to be a class derived from kdtune.temperature.base.TemperaturePolicy",
}

WRONG_LOSSES = {
    "exploding": "at tau 10 for the untrained networks in float32; narrow the search space",
    "naive": "at tau 2 for random logits with a standard deviation of 5",
    "steep": "has a gradient that is not finite at tau 2",
    "constant": "its result has no gradient, so that nothing is learnt",
    "unrelated": "does not depend on student_logits",
    "number": "returned a value of type float; return a 0-d tensor",
    "each_image": "returned a tensor of the shape (100,); return a 0-d tensor",
    "in_place": "changes teacher_logits in place",
    "in_place_student": "changes student_logits in place",
    "raising": "it fails: RuntimeError|losses.py, line 51",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    for name, source in (("search.py", SEARCH), ("tau.py", TAU), ("losses.py", LOSSES)):
        (folder / name).write_text(source)
    return folder


@pytest.fixture(scope="module")
def check(folder):
    """Check the small study with some changes."""

    def check(**changes):
        changes = {"strategies": {"fixed": {}}, "numerics": {"precision": "float32"}, **changes}
        with chdir(folder):
            return check_study(small_study(**changes), [], data_dir(None), None, torch.device("cpu"), 1)

    return check


def faults_by_name(faults, names):
    """The faults under the label of each name; each lies in the table of a strategy."""
    label_of = {f"strategies.{name.lower()}": name for name in names}
    found = {name: [] for name in names}
    for fault in faults:
        found[label_of[".".join(fault.key.split(".")[:2])]].append(fault)
    return found


#: All wrong strategies as those of one study.
ALL_STRATEGIES = {name.lower(): {"strategy": f"./search.py:{name}"} for name in STRATEGIES}


@pytest.fixture(scope="module")
def faults_of_strategies(check):
    return check(strategies=ALL_STRATEGIES).faults


@pytest.fixture(scope="module")
def faults_of_temperatures(check):
    strategies = {name.lower(): {"strategy": "single", "temperature": f"./tau.py:{name}"} for name in TEMPERATURES}
    del strategies["function"]  # is refused before the others are looked at
    return faults_by_name(check(strategies=strategies).faults, TEMPERATURES)


def assert_named(fault, key, parts):
    assert fault.key == key
    for part in parts.split("|"):
        assert part in fault.problem


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_whose_first_round_cannot_be_trained_is_named(faults_of_strategies, name):
    found = faults_by_name(faults_of_strategies, STRATEGIES)[name]
    assert_named(found[0], f"strategies.{name.lower()}", STRATEGIES[name])
    assert "search.py:" + name in found[0].problem


def test_a_run_refuses_wrong_strategies_in_the_same_words_before_anything_starts(
    faults_of_strategies, folder, monkeypatch
):
    monkeypatch.chdir(folder)
    with pytest.raises(SpecError) as told:
        validate_run_arguments(small_study(strategies=ALL_STRATEGIES), "all", Budget())
    assert [fault.problem for fault in told.value.faults] == [fault.problem for fault in faults_of_strategies]


@pytest.mark.parametrize("name", [name for name in TEMPERATURES if name != "function"])
def test_a_temperature_that_cannot_be_used_is_named(faults_of_temperatures, name):
    (found,) = faults_of_temperatures[name]
    assert_named(found, f"strategies.{name.lower()}", TEMPERATURES[name])
    assert "tau.py:" + name in found.problem


def test_a_function_is_no_temperature(check):
    (found,) = check(strategies={"mine": {"strategy": "single", "temperature": "./tau.py:function"}}).faults
    assert_named(found, "strategies.mine.strategy", TEMPERATURES["function"])
    assert "tau.py:function" in found.problem


@pytest.mark.parametrize("name", WRONG_LOSSES)
def test_a_loss_that_cannot_be_used_is_named(check, name):
    found = check(loss=f"./losses.py:{name}").faults
    assert len(found) == 1
    assert_named(found[0], "loss", WRONG_LOSSES[name])
    assert f"losses.py:{name}" in found[0].problem


def test_sound_components_have_no_fault(check):
    strategies = {
        "mine": {"strategy": "./search.py:Sound"},
        "warm": {"strategy": "single", "temperature": "./tau.py:Sound"},
        "tuned": {"strategy": "tuned:instance"},
        "grid": {},
        "random": {},
        "optuna": {"trials": 2},
        "best-of": {},
        "none": {"longer": "flops"},
    }
    assert check(loss="./losses.py:sound", strategies=strategies).faults == []


def test_faults_of_a_strategy_a_temperature_a_loss_and_a_network_are_reported_together(check):
    found = check(
        student="./nowhere.py:net",
        loss="./losses.py:in_place",
        strategies={
            "mine": {"strategy": "./search.py:Raises"},
            "cold": {"strategy": "single", "temperature": "./tau.py:LateZero"},
        },
    )
    assert {fault.key for fault in found.faults} == {"student", "loss", "strategies.mine", "strategies.cold"}
