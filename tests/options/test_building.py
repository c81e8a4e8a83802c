"""What a class makes of arguments that it does not look at is one line, too."""

import pytest

from deeprftv2_arch.errors import OptionError
from deeprftv2_arch.options.building import construct


@pytest.mark.parametrize("error", [KeyError("upconv1"), AttributeError("no upconv1"), ZeroDivisionError("by\nzero")])
def test_class_that_fails_in_any_way(error: Exception) -> None:
    def network(**arguments: object) -> None:
        raise error

    with pytest.raises(OptionError) as caught:
        construct(network, {"type": "Network", "upscale": 1}, "a.yml: network_g")
    message = str(caught.value)
    assert message.startswith(f"a.yml: network_g: cannot be built of these arguments ({type(error).__name__}: ")
    assert "\n" not in message
