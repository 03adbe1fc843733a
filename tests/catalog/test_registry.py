import pytest

from kdtune.catalog.registry import Registry, did_you_mean
from kdtune.data import DATASETS
from kdtune.methods import LOSSES
from kdtune.models import MODELS
from kdtune.strategies import STRATEGIES
from kdtune.temperature import POLICIES

REGISTERED = [(table, name) for table in (DATASETS, LOSSES, MODELS, POLICIES, STRATEGIES) for name in table]


@pytest.fixture
def fruit():
    table = Registry("fruit")
    table.add("apple", "json:dumps", "round", pips=5)
    table.add("banana", "json:loads", "bent")
    return table


def test_a_name_is_loaded_as_what_it_stands_for(fruit):
    import json

    assert fruit.load("apple") is json.dumps


def test_facts_and_summary_are_known_without_loading(fruit):
    assert fruit["apple"].summary == "round"
    assert fruit["apple"].facts == {"pips": 5}


def test_names_come_in_the_order_of_registration(fruit):
    assert list(fruit) == ["apple", "banana"]


def test_membership_is_by_name(fruit):
    assert "apple" in fruit
    assert "pear" not in fruit


def test_a_duplicate_is_refused_and_says_what_holds_the_name(fruit):
    with pytest.raises(ValueError, match=r"fruit 'apple'.*json:dumps"):
        fruit.add("apple", "json:loads", "another")
    assert fruit["apple"].summary == "round"


def test_registering_does_not_import():
    table = Registry("thing")
    table.add("absent", "kdtune.no_such_module:Thing", "not there")
    with pytest.raises(ModuleNotFoundError):
        table.load("absent")


def test_an_unknown_name_is_answered_with_what_was_meant(fruit):
    with pytest.raises(KeyError, match="unknown fruit 'aple'.*did you mean 'apple'"):
        fruit["aple"]


def test_a_name_like_no_other_is_answered_with_all_of_them(fruit):
    assert fruit.unknown("xyz") == "unknown fruit 'xyz'; known: apple, banana"


def test_the_closest_name_is_the_one_suggested():
    assert did_you_mean("stochastik", ["static", "stochastic", "grid"]) == "did you mean 'stochastic'?"


@pytest.mark.parametrize(("table", "name"), REGISTERED, ids=[f"{table.kind}-{name}" for table, name in REGISTERED])
def test_whatever_is_registered_can_be_loaded(table, name):
    assert callable(table.load(name))


@pytest.mark.parametrize(("table", "name"), REGISTERED, ids=[f"{table.kind}-{name}" for table, name in REGISTERED])
def test_whatever_is_registered_has_a_line_for_people(table, name):
    assert table[name].summary
    assert "\n" not in table[name].summary
