"""The counts of a compiled program, and the seconds that a chip would take by them."""

import dataclasses
from collections import Counter

import jax

from experiments.aot.chips import GIB, Chip
from experiments.aot.hlo import Program
from experiments.aot.hlo_text import Array

_LARGEST = 4


@dataclasses.dataclass(frozen=True)
class Counts:
  """What the compiler says of a program.

  Attributes:
    compile_seconds: how long it took to compile, here.
    arguments: bytes of what it is given: weights, prompts, rows.
    temporaries: bytes that it needs besides.
    operations: of all products, multiplications and additions apart.
    useful: those that the computation needs, without padding and what is computed twice.
    moved: bytes that its instructions read and write, each on its own.
    cycles: by the compiler's estimate; 0 where it has none.
    products: the operations of each kind of product.
    collectives: how often each kind runs.
    largest: the largest arrays that it makes.
    products_seconds: its products at the chip's peak.
    seconds: by cycles; on a GPU by instruction its operations or its bytes, what takes longer.
  """

  compile_seconds: float
  arguments: float
  temporaries: float
  operations: float
  useful: float
  moved: float
  cycles: float
  products: dict[str, float]
  collectives: dict[str, float]
  largest: list[Array]
  products_seconds: float
  seconds: float

  @property
  def peak(self) -> float:
    """Bytes of all it needs."""
    return self.arguments + self.temporaries

  @property
  def share_of_peak(self) -> float:
    """Useful operations at the estimate's speed, as a share of what the chip could do."""
    return self.useful / self.operations * self.products_seconds / self.seconds


def count(
  compiled: jax.stages.Compiled, chip: Chip, chips: int, useful: float, compile_seconds: float
) -> Counts:
  """Counts what one chip of `chips` does; `useful` operations are those of all of them."""
  program, memory = Program(compiled.as_text()), compiled.memory_analysis()
  operations: Counter[str] = Counter()
  for product, times in program.products():
    operations[str(product)] += product.operations * times
  total, cycles = sum(operations.values()), program.cycles()
  seconds = cycles / chip.clock if cycles else sum(_seconds(program, chip))
  return Counts(
    compile_seconds,
    memory.argument_size_in_bytes,
    memory.temp_size_in_bytes,
    total,
    useful / chips,
    program.bytes_moved(),
    cycles,
    dict(operations.most_common()),
    program.collectives(),
    program.largest(_LARGEST),
    total / chip.operations,
    seconds,
  )


def _seconds(program: Program, chip: Chip):
  """The seconds of every instruction: its products at peak, or its bytes."""
  for instruction, times in program.executed:
    operations = sum(each.operations for each in program.products_of(instruction))
    moved = program.moved(instruction)
    yield times * max(operations / chip.operations, moved / chip.bandwidth)


def described(counts: Counts, chip: Chip) -> list[str]:
  """The counts in lines for people."""
  room = f"{counts.peak / GIB:.2f} of {chip.memory / GIB:.2f} GiB"
  fits = "fits" if counts.peak <= chip.memory else "does not fit"
  lines = [
    f"memory      {room}, {fits}: {counts.temporaries / GIB:.2f} of them temporaries",
    f"compiled    in {counts.compile_seconds:.0f} s",
    f"operations  {counts.operations:.3g}, of which {counts.useful / counts.operations:.0%} useful",
    *(f"  {share / counts.operations:6.1%}  {kind}" for kind, share in counts.products.items()),
    f"moved       {counts.moved / GIB:.1f} GiB by all instructions",
  ]
  if counts.cycles:
    lines.append(f"cycles      {counts.cycles / 1e6:.1f} million, by the compiler")
  collectives = ", ".join(f"{times:.0f} {kind}" for kind, times in counts.collectives.items())
  lines.append(f"collectives {collectives or 'none'}")
  lines.append(f"largest     {', '.join(map(str, counts.largest))}")
  lines.append(
    f"estimate    {counts.seconds * 1e3:.1f} ms, {counts.share_of_peak:.0%} of the peak; its "
    f"products alone take {counts.products_seconds * 1e3:.1f} ms at the peak"
  )
  return lines
