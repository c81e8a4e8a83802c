"""How deeply the values in a pickle are nested, told from its instructions before any value is made.

Whoever uses tuples as the key of a dictionary has Python go down all tuples in each other on the system's stack. With
some 100,000 of them that ends the process, which nothing can catch; the pickles of PyTorch have keys of any kind.
"""

import pickle
import pickletools
from typing import BinaryIO

DEEPEST = 100  # values in each other
NEWEST = 3  # protocol of which PyTorch reads a file of weights; every pickle of a newer one has what it refuses
# Instructions that put what was made last into what was made before it, instead of making something of it.
_FILLING = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
_REMEMBERING, _RECALLING = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
# By the name of an instruction that takes no values of the stack, how many it puts there.
_MAKING = {
    found.name: len(found.stack_after)
    for found in pickletools.opcodes
    if not found.stack_before and found.name not in _REMEMBERING | _RECALLING | {"MARK"}
}


class NewerProtocolError(pickle.UnpicklingError):
    """A pickle has a newer protocol than PyTorch reads as weights only; the message names it."""


def require_shallow(file: BinaryIO) -> None:
    """Read one pickle from a file to its end.

    Its instructions work on a stack, on which this keeps how many values each value has in each other. That of
    ``{"a": (1, 2)}``, with what is remembered left out, goes so:

        instruction   depths       marks
        EMPTY_DICT    0                    the dictionary, of nothing so far
        MARK          0            1       what comes next begins at 1
        BINUNICODE    0 0          1       "a"
        BININT1       0 0 0        1       1
        BININT1       0 0 0 0      1       2
        TUPLE2        0 0 1        1       takes two and makes one, deeper by one than the deepest of them
        SETITEMS      2                    takes all from the mark on and puts it into what is below, the dictionary
        STOP                               takes the whole

    So every instruction takes ``depths[start:]``, of which it leaves one; ``depths[start:into]`` is the value that it
    fills, if it fills one, and ``depths[into:]`` are the values that come to lie in another. What is put into a list
    after that was remembered is not counted: nothing here goes through lists on the system's stack.

    Raises:
        NewerProtocolError: It is of protocol 4 or above.
        ValueError: Its values are nested deeper than ``DEEPEST``, or it is no pickle.
    """
    depths: list[int] = []  # of the values that wait to be put into others
    marks: list[int] = []
    remembered: dict[object, int] = {}
    for instruction, argument, _ in pickletools.genops(file):
        name = instruction.name
        if name == "PROTO" and isinstance(argument, int) and argument > NEWEST:
            raise NewerProtocolError(f"pickle protocol {argument}")
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
