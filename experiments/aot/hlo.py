"""What a compiled program does, read off its HLO text: which instructions run, and how often.

XLA's own `cost_analysis` counts the body of a loop once; here a body counts as often as its loop
runs it, by the trip count that the compiler found.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

from experiments.aot.hlo_text import NAME, Array, Instruction, read

COLLECTIVES = "all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter"
PRODUCTS = "dot", "convolution"
# They hand on what is there already, or are counted by what they call.
_FREE = (
  *("parameter", "constant", "iota", "tuple", "get-tuple-element", "bitcast", "opt-barrier"),
  *("while", "conditional", "call", "after-all", "partition-id", "replica-id"),
  *("copy-done", "fusion-done", "async-start", "async-update", "async-done"),
)
_FUSIONS = "fusion", "fusion-start"
_SLICES = "dynamic-slice", "slice", "gather"
_SAME = "bitcast", "reshape"

_TRIPS = re.compile(r'"known_trip_count":\s*\{"n":\s*"(\d+)"\}')
_CYCLES = re.compile(r'"estimated_cycles":\s*"(\d+)"')
_BRANCHES = re.compile(
  r"(?:branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.\-]+))"
)


@dataclasses.dataclass(frozen=True)
class Product:
  """A matrix product: the types of its operands and of its result, and its operations."""

  types: tuple[str, str, str]
  operations: float
  highest: bool

  def __str__(self) -> str:
    left, right, result = self.types
    return f"{left} x {right} -> {result}" + (" at HIGHEST" if self.highest else "")


class Program:
  """A compiled program.

  Args:
    text: its HLO, as `compiled.as_text()` has it.
  """

  def __init__(self, text: str):
    self._entry, self._computations = read(text)

  @functools.cached_property
  def executed(self) -> list[tuple[Instruction, float]]:
    """The instructions that run one after the other, and how often each does.

    What is fused into an instruction is a part of it. Of a conditional's branches the one with the
    most work counts.
    """
    return list(self._executed(self._entry, 1.0))

  def _executed(self, computation: str, times: float) -> Iterator[tuple[Instruction, float]]:
    for instruction in self._computations[computation].values():
      opcode = instruction.opcode
      if opcode == "while":
        yield from self._executed(instruction.called("body"), times * self._trips(instruction))
      elif opcode == "conditional":
        branches = [list(self._executed(name, times)) for name in _branches(instruction)]
        yield from max(branches, key=self._work)
      elif opcode == "call":
        yield from self._executed(instruction.called("to_apply"), times)
      elif opcode == "async-start" and "calls=" in instruction.rest:
        yield from self._executed(instruction.called("calls"), times)
      elif opcode not in _FREE:
        yield instruction, times

  def _trips(self, loop: Instruction) -> int:
    """How often a loop runs: as the compiler found, or the number up to which it counts from 0."""
    if found := _TRIPS.search(loop.rest):
      return int(found[1])
    condition = self._computations[loop.called("condition")].values()
    bounds = [each.arguments for each in condition if each.opcode == "constant"]
    return max(map(int, filter(str.isdecimal, bounds)), default=1)

  def _work(self, executed: list[tuple[Instruction, float]]) -> float:
    return sum(times * (1 + self.moved(instruction)) for instruction, times in executed)

  @functools.cached_property
  def _home(self) -> dict[str, dict[str, Instruction]]:
    """The computation of every instruction, by its name."""
    return {name: own for own in self._computations.values() for name in own}

  def cycles(self) -> float:
    """The compiler's estimate of all cycles; 0 where it has none, as on a GPU."""
    found = ((_CYCLES.search(instruction.rest), times) for instruction, times in self.executed)
    return sum(times * int(match[1]) for match, times in found if match)

  def bytes_moved(self) -> float:
    """What all instructions read and write, each on its own."""
    return sum(times * self.moved(instruction) for instruction, times in self.executed)

  def moved(self, instruction: Instruction) -> float:
    """What one instruction reads and writes; of what it cuts a slice from, the slice."""
    own = self._home[instruction.name]
    read = [own[name].bytes for name in instruction.operands if name in own]
    if instruction.opcode in _SLICES:
      return 2 * instruction.bytes
    if instruction.opcode == "dynamic-update-slice":
      return 2 * own[instruction.operands[1]].bytes
    if instruction.opcode not in _FUSIONS:
      return sum(read) + instruction.bytes
    inner = self._computations[instruction.called("calls")]
    return sum(self._read(inner)) + _written(inner)

  def _read(self, inner: dict[str, Instruction]) -> Iterator[float]:
    """By parameter of a fused computation, what of it is read."""
    for parameter in (each for each in inner.values() if each.opcode == "parameter"):
      read = 0.0
      for name, user in _users(inner, parameter.name):
        is_updated = user.opcode == "dynamic-update-slice" and user.operands[0] == name
        if not is_updated:
          read += user.bytes if user.opcode in _SLICES else parameter.bytes
      yield min(read, parameter.bytes)

  def products(self) -> list[tuple[Product, float]]:
    """All matrix products, and how often each is computed."""
    return [
      (product, times)
      for instruction, times in self.executed
      for product in self.products_of(instruction)
    ]

  def products_of(self, instruction: Instruction) -> Iterator[Product]:
    """The products of one instruction, and of what is fused into it."""
    own = self._home[instruction.name]
    if instruction.opcode in _FUSIONS:
      for inner in self._computations[instruction.called("calls")].values():
        yield from self.products_of(inner)
    elif instruction.opcode in PRODUCTS or "$gemm" in instruction.rest:
      left, right = (own[name].results[0] for name in instruction.operands[:2])
      result = instruction.results[0]
      each = _contracted(instruction, left, right)
      yield Product(
        (left.type, right.type, result.type),
        2.0 * result.size * each,
        "highest" in instruction.rest.lower(),
      )

  def collectives(self) -> dict[str, float]:
    """How often each kind of collective runs."""
    found: dict[str, float] = {}
    for instruction, times in self.executed:
      kind = instruction.opcode.removesuffix("-start")
      if kind in COLLECTIVES:
        found[kind] = found.get(kind, 0) + times
    return found

  def largest(self, count: int) -> list[Array]:
    """The largest arrays that instructions make, each shape once."""
    results = (array for instruction, _ in self.executed for array in instruction.results)
    made = {array for array in results if array.bytes}
    return sorted(made, key=lambda array: (-array.bytes, str(array)))[:count]

  def opcodes(self) -> set[str]:
    """The kinds of instruction in it, also of those that are fused."""
    return {each.opcode for own in self._computations.values() for each in own.values()}


def _branches(instruction: Instruction) -> list[str]:
  found = []
  for several, one in _BRANCHES.findall(instruction.rest):
    found += NAME.findall(several) or [each for each in (several, one) if each]
  return found


def _users(inner: dict[str, Instruction], name: str) -> Iterator[tuple[str, Instruction]]:
  """What reads an array, and by which name: the same bytes may have several shapes."""
  for user in inner.values():
    if name in user.operands:
      if user.opcode in _SAME and not user.is_root:
        yield from _users(inner, user.name)
      else:
        yield name, user


def _written(inner: dict[str, Instruction]) -> float:
  """What a fused computation writes: of an array that it updates in place, the update."""
  (root,) = (each for each in inner.values() if each.is_root)
  total = 0.0
  for name in root.operands if root.opcode == "tuple" else (root.name,):
    part = inner[name]
    while part.opcode in _SAME:
      part = inner[part.operands[0]]
    is_updated = part.opcode == "dynamic-update-slice"
    total += (inner[part.operands[1]] if is_updated else inner[name]).bytes
  return total


def _contracted(instruction: Instruction, left: Array, right: Array) -> float:
  """How many products are summed for each number of the result."""
  if found := re.search(r"lhs_contracting_dims=\{([\d,]*)\}", instruction.rest):
    return math.prod(left.shape[int(axis)] for axis in found[1].split(",") if axis)
  if found := re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', instruction.rest):
    return math.prod(left.shape[int(axis)] for axis in re.findall(r"\d+", found[1]))
  return _of_window(instruction, left, right)


def _of_window(instruction: Instruction, left: Array, right: Array) -> float:
  """The same of a product that a TPU computes as a convolution.

  Axes that both operands share are axes of its window, strided and dilated so that but one place of
  the window lies on a number, while the others lie on padding.
  """
  of_left, of_right, of_result = re.search(
    r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.rest
  ).groups()
  found = float(right.shape[of_right.index("i")])
  window = re.search(r"window=\{([^}]*)\}", instruction.rest)
  fields = dict(part.split("=") for part in window[1].split()) if window else {}
  for axis, size in enumerate(fields.get("size", "").split("x") if window else ()):

    def field(name: str, usual: str, axis=axis) -> str:
      return fields[name].split("x")[axis] if name in fields else usual

    numbers = left.shape[of_left.index(str(axis))]
    places = instruction.results[0].shape[of_result.index(str(axis))]
    stride, apart = int(field("stride", "1")), int(field("lhs_dilate", "1"))
    step, before = int(field("rhs_dilate", "1")), int(field("pad", "0_0").split("_")[0])
    read = [
      place * stride + offset * step - before
      for place in range(places)
      for offset in range(int(size))
    ]
    found *= sum(x % apart == 0 and 0 <= x // apart < numbers for x in read) / places
  return found
