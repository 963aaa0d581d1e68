"""wayjax's programs for chips that are not there: lowered with shapes alone, without weights."""

import dataclasses
import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from experiments.benchmark.work import SHAPES
from wayjax.config import C_DIST
from wayjax.data import packing
from wayjax.data.encoding import EncodedExamples
from wayjax.data.targets import Target
from wayjax.devices.sharding import Layout
from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluator
from wayjax.generation.decoding import Sequences, decode
from wayjax.generation.sampling import Sampling
from wayjax.models import FAMILIES, LanguageModel
from wayjax.projection import nearest_tokens
from wayjax.tuning.batches import RowSize, Schedule
from wayjax.tuning.groups import STEPS_PER_DISPATCH, Group
from wayjax.tuning.members import Member
from wayjax.tuning.program import lower_chunk
from wayjax.tuning.settings import TrainSettings

ANSWER = 4  # tokens of a class's continuation: " It was good .<eos>" less what classes share


class WeightlessModel(LanguageModel):
  """A model of which only the shapes are known; every row of its table belongs to a token."""

  @functools.cached_property
  def _ids(self) -> np.ndarray:
    return np.arange(self.vocab_size)


@dataclasses.dataclass(frozen=True)
class Work:
  """What the programs are compiled for; the defaults are the paper's, on SST-2.

  Attributes:
    prompt_tokens: P.
    text: T, text positions of a training row.
    batch_size: B, examples in it.
    classes: C.
    rows: test rows that are evaluated.
    new_tokens: the most tokens that are generated.
  """

  prompt_tokens: int = 20
  text: int = 128
  batch_size: int = 8
  classes: int = 2
  rows: int = 1821
  new_tokens: int = 20

  @property
  def padded(self) -> int:
    """What prompts are padded to."""
    return packing.round_up(self.prompt_tokens, packing.PROMPT_MULTIPLE)

  def examples(self) -> EncodedExamples:
    """Test rows that take as many positions as an average one of the training row."""
    own = max(self.text // self.batch_size - ANSWER + 1, 0)
    return EncodedExamples(
      tuple(np.zeros(own, np.int32) for _ in range(self.rows)),
      tuple(np.full(ANSWER, 1 + c, np.int32) for c in range(self.classes)),
      np.zeros(self.rows, np.int32),
    )


def weightless(name: str, precision: str, layout: Layout) -> WeightlessModel:
  """A model without its weights.

  Args:
    name: a size of GPT-2, such as `gpt2-large`, or a folder with a `config.json`.
    precision: `float32` or `bfloat16`.
    layout: where its weights would lie.

  Raises:
    WayjaxError: no such size or folder, or an unsupported architecture.
  """
  if name in SHAPES:
    layers, width, heads = SHAPES[name]
    config = {"model_type": "gpt2", "n_layer": layers, "n_embd": width, "n_head": heads}
    config |= {"vocab_size": 50257, "n_positions": 1024}
  else:
    path = Path(name) / "config.json"
    if not path.is_file():
      raise WayjaxError(f"--model {name}: neither one of {', '.join(SHAPES)} nor a folder of one")
    config = json.loads(path.read_text())
  if config.get("model_type") not in FAMILIES:
    raise WayjaxError(f"--model {name}: {config.get('model_type')!r} is none of wayjax's families")
  family = FAMILIES[config["model_type"]]
  hyper_parameters, dtype = family.read_config(config), jnp.dtype(precision)
  graphdef, abstract = family.abstract(hyper_parameters, dtype, layout.platform)
  params = jax.tree.map(lambda x: _shape(x, layout.weight(x.shape)), abstract)
  return WeightlessModel(
    name=name,
    revision=None,
    tokenizer=None,
    graphdef=graphdef,
    params=params,
    max_positions=hyper_parameters.max_position_embeddings,
    dtype=dtype,
    parameters=sum(x.size for x in jax.tree.leaves(abstract)),
    weights_sha256="",
    layout=layout,
  )


def training(lm: WeightlessModel, work: Work, members: int, remat: bool) -> jax.stages.Lowered:
  """A dispatch of the training of so many members."""
  prompt_PxD = np.zeros((work.prompt_tokens, lm.width), np.float32)
  ids = np.zeros(work.prompt_tokens, np.int32)
  member = Member(Target("aot", "text", "text"), ids, prompt_PxD, 0.01, 1, prompt_PxD, C_DIST)
  scored = ANSWER * work.batch_size
  size = RowSize(work.text, scored, work.text // work.batch_size)
  steps = STEPS_PER_DISPATCH
  batches = np.zeros((steps, 1, work.batch_size), np.int32)
  nothing_T = np.zeros(steps)
  schedule = Schedule((1,), batches, (size,), nothing_T.astype(np.int32), nothing_T, steps)
  tokens = packing.training_tokens(work.examples())
  tokens = jax.tree.map(lambda x: _shape(x, lm.layout.everywhere()), tokens)
  group = Group([member], work.padded, schedule, 0, members)
  return lower_chunk(lm, group, TrainSettings(steps=2000), tokens, remat, members)


def evaluator(lm: WeightlessModel, work: Work) -> Evaluator:
  """What would evaluate prompts."""
  return Evaluator(lm, work.examples())


def evaluation(lm: WeightlessModel, work: Work, prompts: int) -> jax.stages.Lowered:
  """A dispatch of the evaluation of so many prompts."""
  return evaluator(lm, work).lower(work.padded, prompts)


def projection(lm: WeightlessModel, work: Work, prompts: int) -> jax.stages.Lowered:
  """d-proj of so many prompts, Euclidean."""
  everywhere = lm.layout.everywhere()
  shapes = (prompts * work.prompt_tokens, lm.width), (lm.vocab_size, lm.width)
  arrays = (jax.ShapeDtypeStruct(shape, jnp.float32, sharding=everywhere) for shape in shapes)
  return nearest_tokens.lower(*arrays, None, metric="euclidean", k=5)


def generation(lm: WeightlessModel, work: Work, sequences: int) -> jax.stages.Lowered:
  """What so many prompts, each with an input of a training example's length, go on with."""
  inputs, vectors = work.text // work.batch_size, work.padded
  count, members = lm.layout.rounded(sequences), lm.layout.members()

  def batched(dtype, *shape) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((count, *shape), dtype, sharding=members)

  numbers = {name: batched(jnp.int32) for name in ("start", "vectors", "length", "prompt", "input")}
  ids_BxL = batched(jnp.int32, vectors + inputs)
  soft_BxPxD = batched(jnp.float32, vectors, lm.width)
  batch = Sequences(ids_L=ids_BxL, soft_PxD=soft_BxPxD, live=batched(jnp.bool_), **numbers)
  everywhere = lm.layout.everywhere()
  mask_V = jax.ShapeDtypeStruct((lm.vocab_size,), jnp.bool_, sharding=everywhere)
  arrays = lm.params, np.uint32(0), batch, mask_V, mask_V
  return decode.lower(lm.graphdef, Sampling(), work.new_tokens, *arrays)


def _shape(x, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
