from dataclasses import dataclass, field

import pytest
from pydantic import ValidationError

from kdtune.storage.records import LEFT_OUT_IF_NONE, as_record, exact, faults, parsed, strict


@exact
@dataclass(frozen=True)
class Wheel:
    radius_m: float


@strict
@dataclass(frozen=True)
class Cart:
    name: str
    wheels: tuple[Wheel, ...]
    by_name: dict[str, Wheel] = field(default_factory=dict)
    colour: str | None = None
    owner: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


CART = Cart("a", (Wheel(0.5),), {"left": Wheel(1.0)})


def test_a_record_keeps_the_order_of_fields_and_is_read_back():
    record = as_record(CART)
    assert record == {
        "name": "a",
        "wheels": [{"radius_m": 0.5}],
        "by_name": {"left": {"radius_m": 1.0}},
        "colour": None,
    }
    assert list(record) == ["name", "wheels", "by_name", "colour"]
    assert parsed(record, Cart) == CART
    assert as_record(parsed({**record, "owner": "b"}, Cart))["owner"] == "b"


def test_unknown_keys_are_ignored_by_strict_dataclasses():
    assert parsed({**as_record(CART), "bells": 2}, Cart) == CART
    with pytest.raises(ValidationError, match="width_m"):
        parsed({"radius_m": 0.5, "width_m": 0.1}, Wheel)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": 3}, "name: Input should be a valid string"),
        ({"wheels": [{"radius_m": "0.5"}]}, "wheels.0.radius_m: Input should be a valid number"),
        ({"wheels": [{"radius_m": True}]}, "wheels.0.radius_m: Input should be a valid number"),
        ({"wheels": [{"radius_m": float("inf")}]}, "wheels.0.radius_m: Input should be a finite number"),
        ({"by_name": [1]}, "by_name: Input should be an object"),
        ({"wheels": [1, 2, 3, 4]}, "; ..."),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_key(change, fault):
    with pytest.raises(ValidationError) as raised:
        parsed({**as_record(CART), **change}, Cart)
    assert fault in faults(raised.value)


def test_plain_types_are_parsed_too():
    assert parsed({"a": [1]}, dict[str, list[int]]) == {"a": [1]}
    assert parsed([{"radius_m": 1}], tuple[Wheel, ...]) == (Wheel(1.0),)
