"""Compiling for chips that are not there: what is counted of a compiled program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from experiments.aot.__main__ import parse_args
from experiments.aot.chips import CHIPS
from experiments.aot.hlo import Program
from experiments.aot.hlo_text import Array
from experiments.aot.programs import weightless
from wayjax.devices.sharding import make_layout
from wayjax.errors import WayjaxError

# As a TPU's compiler writes a product of 16 pairs of matrices: the axes that they share are those
# of a window of which one place lies on numbers.
BATCHED = """HloModule m, is_scheduled=true

%cond (at: (s32[], f32[8])) -> pred[] {
  %bound = s32[]{:T(128)} constant(20)
  %at = (s32[], f32[8]{0}) parameter(0)
  %step = s32[] get-tuple-element(%at), index=0
  ROOT %less = pred[] compare(%step, %bound), direction=LT
}

%fused (p: bf16[4,4,80,64], q: bf16[4,4,64,120]) -> f32[4,4,80,120] {
  %p = bf16[4,4,80,64]{3,2,1,0} parameter(0)
  %q = bf16[4,4,64,120]{3,2,1,0} parameter(1)
  ROOT %c = f32[4,4,80,120]{3,2,1,0:T(8,128)S(1)} convolution(%p, %q), window={size=4x4 stride=3x3 lhs_dilate=4x4}, dim_labels=01bf_01io->01bf
}

%body (at: (s32[], f32[8])) -> (s32[], f32[8]) {
  %at = (s32[], f32[8]{0}) parameter(0)
  %p = bf16[4,4,80,64]{3,2,1,0} constant({...})
  %q = bf16[4,4,64,120]{3,2,1,0} constant({...})
  %f = f32[4,4,80,120]{3,2,1,0:T(8,128)S(1)} fusion(%p, %q), kind=kOutput, calls=%fused, backend_config={"window_config":{"estimated_cycles":"1000"}}
  %step = s32[] get-tuple-element(%at), index=0
  %x = f32[8]{0} get-tuple-element(%at), index=1
  %all = f32[8]{0} all-reduce-start(%x), replica_groups={{0,1}}
  ROOT %next = (s32[], f32[8]{0}) tuple(%step, %all)
}

ENTRY %main (x: f32[8]) -> (s32[], f32[8]) {
  %x = f32[8]{0} parameter(0)
  %zero = s32[] constant(0)
  %first = (s32[], f32[8]{0}) tuple(%zero, %x)
  ROOT %loop = (s32[], f32[8]{0}) while(%first), condition=%cond, body=%body
}
"""  # noqa: E501


def compiled(function, *shapes, dtype=jnp.float32) -> Program:
  given = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
  return Program(jax.jit(function).lower(*given).compile().as_text())


def operations(program: Program) -> float:
  return sum(product.operations * times for product, times in program.products())


def test_a_loop_counts_as_often_as_it_runs():
  def layers(w_NxDxD, h_SxD):
    return lax.scan(lambda h, w: (jnp.tanh(h @ w), None), h_SxD, w_NxDxD)[0]

  def steps(w_NxDxD, h_SxD):
    return lax.fori_loop(0, 3, lambda _, h: layers(w_NxDxD, h), h_SxD)

  program = compiled(steps, (5, 32, 32), (64, 32))
  assert operations(program) == 3 * 5 * 2 * 64 * 32 * 32
  assert {str(product) for product, _ in program.products()} == {"f32 x f32 -> f32 at HIGHEST"}
  assert Array("f32", (64, 32)) in program.largest(4)


def test_of_an_array_that_is_cut_the_slice_is_read():
  def rows(table_NxD, at):
    return lax.dynamic_index_in_dim(table_NxD, at.astype(jnp.int32)[0]) * 2

  program = compiled(rows, (1000, 64), (1,))
  assert program.bytes_moved() < 10 * 64 * 4


def test_of_branches_the_one_with_the_most_work_counts():
  def branches(x_SxD, at):
    index = at.astype(jnp.int32)[0]
    return lax.switch(index, [lambda x: x @ x, lambda x: x, lambda x: x @ x @ x], x_SxD)

  assert operations(compiled(branches, (48, 48), (1,))) == 2 * 2 * 48**3


def test_a_product_of_pairs_is_not_counted_for_every_place_of_its_window():
  program = Program(BATCHED)
  assert operations(program) == 20 * 2 * 16 * 80 * 120 * 64
  assert {str(product) for product, _ in program.products()} == {"bf16 x bf16 -> f32"}
  assert program.cycles() == 20 * 1000
  assert program.collectives() == {"all-reduce": 20}
  read = 2 * 16 * 64 * (80 + 120)  # what is written lies in the chip's own memory
  assert program.bytes_moved() == 20 * (read + 2 * 8 * 4)


def test_every_chip_has_its_numbers():
  for chip in CHIPS.values():
    assert 1e13 < chip.operations < 1e16
    assert 1e11 < chip.bandwidth < 1e13
    assert (chip.clock > 0) == (chip.platform == "tpu") == bool(chip.topology[0])
    assert (chip.platform == "cuda") == bool(chip.description)
  assert set(parse_args(["--chip", *CHIPS]).chip) == set(CHIPS)


@pytest.mark.parametrize(
  "given", [["--members", "0"], ["--chips", "-1"], ["--chip", "abacus"], ["--text", "x"]]
)
def test_wrong_options_end_in_a_sentence(given, capsys):
  with pytest.raises(SystemExit) as exit:
    parse_args(given)
  assert exit.value.code == 2
  assert given[0] in capsys.readouterr().err


def test_a_model_that_is_not_there_is_told_in_a_sentence():
  with pytest.raises(WayjaxError, match=r"neither one of gpt2, .* nor a folder of one"):
    weightless("nowhere", "bfloat16", make_layout())


def test_a_small_sweep_on_a_described_tpu(tmp_path):
  """Where TPUs' compiler is installed: what it makes of wayjax's own programs."""
  pytest.importorskip("libtpu")
  model = tmp_path / "model"
  model.mkdir()
  sizes = {"n_layer": 4, "n_embd": 256, "n_head": 4, "vocab_size": 1024, "n_positions": 256}
  (model / "config.json").write_text(json.dumps({"model_type": "gpt2", **sizes}))
  out = tmp_path / "counts.json"
  given = ["--chip", "v5e", "--chips", "4", "--members", "4", "--model", str(model)]
  given += ["--rows", "16", "--out", str(out)]
  root = Path(__file__).parents[2]
  environment = {**os.environ, "PYTHONPATH": str(root)}
  command = [sys.executable, "-m", "experiments.aot", *given]
  done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
  assert done.returncode == 0, done.stderr
  assert "Table 2" in done.stdout
  counts = json.loads(out.read_text())["counts"]
  assert set(counts) == {
    f"v5e {name}" for name in ("training", "evaluation", "projection", "generation")
  }
  for counted in counts.values():
    assert counted["collectives"] == {}  # members share nothing
  training = counts["v5e training"]
  assert training["useful"] / training["operations"] == pytest.approx(1, abs=0.15)
  assert not any("f32 x f32" in kind for kind in training["products"])
  assert "f32 x f32 -> f32 at HIGHEST" in counts["v5e projection"]["products"]
