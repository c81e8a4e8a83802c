"""How deeply the values in a pickle are nested, told from its instructions before any value is made.

Whoever uses tuples as the key of a dictionary has Python go down all tuples in each other on the system's stack. With
some 100,000 of them that ends the process, which nothing can catch; the pickles of PyTorch have keys of any kind.
"""

import pickletools
from typing import BinaryIO

DEEPEST = 100  # values in each other
# Instructions that put what was made last into what was made before it, instead of making something of it.
_FILLING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_REMEMBERING, _RECALLING = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
# By the name of an instruction that takes no values of the stack, how many it puts there.
_MAKING = {
    found.name: len(found.stack_after)
    for found in pickletools.opcodes
    if not found.stack_before and found.name not in _REMEMBERING | _RECALLING | {"MARK"}
}


def require_shallow(pickle: BinaryIO) -> None:
    """Read one pickle from a file to its end.

    What is put into a list after that was remembered is not counted: nothing here goes through lists on that stack.

    Raises:
        ValueError: Its values are nested deeper than ``DEEPEST``, or it is no pickle.
    """
    depths: list[int] = []  # of the values that wait to be put into others
    marks: list[int] = []
    remembered: dict[object, int] = {}
    for instruction, argument, _ in pickletools.genops(pickle):
        name = instruction.name
        if name in _MAKING:
            depths += [0] * _MAKING[name]
        elif name in _REMEMBERING:
            remembered[argument] = depths[-1]
        elif name in _RECALLING:
            depths.append(remembered[argument])
        elif name == "MARK":
            marks.append(len(depths))
        else:
            taken = instruction.stack_before
            start = len(depths) - len(taken)
            if pickletools.markobject in taken:
                start = marks.pop() - taken.index(pickletools.markobject)
            into = start + (name in _FILLING)
            depth = max(max(depths[start:into], default=0), 1 + max(depths[into:], default=-1))
            if depth > DEEPEST:
                raise ValueError(f"more than {DEEPEST} values in each other")
            depths[start:] = [depth] * len(instruction.stack_after)
