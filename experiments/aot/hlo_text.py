"""HLO, the text that XLA prints a compiled program as, taken apart into its instructions."""

import dataclasses
import functools
import math
import re

_BITS = re.compile(r"(?:bf|f|s|u|c)(\d+)")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\](\{[^{}]*\})?")
_NEAR = re.compile(r"S\([1-9]")
NAME = re.compile(r"%([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Array:
  """An array.

  Attributes:
    type: its type, as HLO names it.
    shape: its shape.
    is_near: whether it lies in a memory of the chip's own, such as a TPU's VMEM.
  """

  type: str
  shape: tuple[int, ...]
  is_near: bool = False

  @property
  def size(self) -> int:
    """How many numbers it holds."""
    return math.prod(self.shape)

  @property
  def bytes(self) -> float:
    """How many bytes they take of the large memory."""
    if self.is_near:
      return 0
    if found := _BITS.match(self.type):
      return self.size * int(found[1]) / 8
    return self.size if self.type == "pred" else 0

  def __str__(self) -> str:
    return f"{self.type}[{','.join(map(str, self.shape))}]"


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One instruction.

  Attributes:
    name: its name.
    results: the arrays that it makes: one, or those of a tuple.
    opcode: what it is.
    arguments: what stands in its parentheses: what it reads, or a constant's value.
    rest: its attributes, as they stand there.
    is_root: whether it is what its computation returns.
  """

  name: str
  results: tuple[Array, ...]
  opcode: str
  arguments: str
  rest: str
  is_root: bool

  @functools.cached_property
  def operands(self) -> tuple[str, ...]:
    """The names of what it reads."""
    return tuple(NAME.findall(self.arguments))

  def called(self, attribute: str) -> str:
    """The computation that an attribute names."""
    return re.search(rf"\b{attribute}=%?([\w.\-]+)", self.rest).group(1)

  @property
  def bytes(self) -> float:
    """What its results take."""
    return sum(array.bytes for array in self.results)


Computations = dict[str, dict[str, Instruction]]


def read(text: str) -> tuple[str, Computations]:
  """The name of the computation that a program begins with, and all by name, in their order."""
  entry, computations = "", {}
  for line in text.splitlines():
    if found := _HEADER.match(line):
      own = computations.setdefault(found[2], {})
      if found[1]:
        entry = found[2]
    elif line.startswith(" ") and (found := _INSTRUCTION.match(line)):
      instruction = _parse(found[2], found[3], bool(found[1]))
      own[instruction.name] = instruction
  return entry, computations


def _parse(name: str, text: str, is_root: bool) -> Instruction:
  """An instruction from what follows its name: `type opcode(operands), attributes`."""
  end = _closing(text, 0) + 1 if text.startswith("(") else text.index(" ")
  results, rest = text[:end], text[end:].lstrip()
  opcode, rest = rest.split("(", 1)
  end = _closing("(" + rest, 0) - 1
  arguments, rest = rest[:end], rest[end + 1 :]
  arrays = tuple(
    Array(kind, tuple(map(int, filter(None, shape.split(",")))), bool(_NEAR.search(layout)))
    for kind, shape, layout in _ARRAY.findall(results)
  )
  return Instruction(name, arrays, opcode, arguments, rest, is_root)


def _closing(text: str, start: int) -> int:
  """Where the parenthesis that opens at `start` is closed."""
  depth = 0
  for place in range(start, len(text)):
    depth += {"(": 1, ")": -1}.get(text[place], 0)
    if depth == 0:
      return place
  raise ValueError(f"a parenthesis is open in {text[start : start + 80]!r}")
