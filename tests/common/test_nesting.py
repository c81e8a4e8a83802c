"""Values from outside: how deep and how many, told without recursion."""

import json

import pytest

from deeprftv2_arch.common.nesting import DEEPEST_JSON, is_bounded, read_json


def test_depth_and_number_are_those_of_the_unfolded_value() -> None:
    value: list[object] = [1, 2]
    assert is_bounded(value, 1, 2)
    assert not is_bounded(value, 1, 1)
    assert not is_bounded({"a": value}, 1)
    assert is_bounded({"a": (value, 3)}, 3, 5)
    assert not is_bounded({"a": (value, 3)}, 3, 4)
    assert is_bounded([value, value], 2, 6)
    assert not is_bounded([value, value], 2, 5)


def test_what_stands_in_many_places_costs_no_time() -> None:
    value: list[object] = [0]
    for _ in range(40):
        value = [value] * 10
    assert not is_bounded(value, 50)
    own: list[object] = []
    own.append(own)
    assert not is_bounded(own, 50)


@pytest.mark.parametrize(
    "text", ["[" * 10**6, "[" * 100 + "]" * 100, '{"a":' * 100 + "1" + "}" * 100, "", "[1", "\xff"]
)
def test_json_that_is_none_or_too_deep_is_one_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_other_json_is_read() -> None:
    value = {"a": [1, None, "x", [2.5] * 3]}
    assert read_json(json.dumps(value)) == value
    assert read_json("[" * DEEPEST_JSON + "]" * DEEPEST_JSON) is not None
