"""Phi-3 and Phi-4 (Abdin et al., 2024): a Llama with q, k and v, and gate and up, in one matrix."""

import dataclasses
import functools

import jax.numpy as jnp
from flax import nnx

from wayjax.models import llama
from wayjax.models.decoder import Row
from wayjax.models.family import GGUF
from wayjax.models.hyperparameters import require
from wayjax.models.layers import Linear, activate
from wayjax.models.llama import Llama, LlamaConfig

_OLD_NAMES = ("su", "yarn")  # of LongRoPE


def read_phi3(config: dict) -> LlamaConfig:
  """Reads a Hugging Face configuration; raises WayjaxError for anything not implemented."""
  require(config, "Phi-3", hidden_act="silu", attention_bias=False, mlp_bias=False)
  defaults = {
    "vocab_size": 32064,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "original_max_position_embeddings": 4096,
  }
  config = {**defaults, **config}
  for option in ("rope_scaling", "rope_parameters"):
    scaling = config.get(option)
    if isinstance(scaling, dict) and scaling.get("rope_type", scaling.get("type")) in _OLD_NAMES:
      config[option] = {**scaling, "rope_type": "longrope"}
  return LlamaConfig.read(config, reads=("sliding_window",), rotates_part=True)


class Attention(llama.RotaryAttention):
  """Heads from one matrix."""

  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    super().__init__(config, dtype, rngs=rngs)
    self.counts = (config.num_attention_heads, config.num_key_value_heads)
    inner = (self.counts[0] + 2 * self.counts[1]) * self.head_dim
    self.qkv_proj = Linear(config.hidden_size, inner, dtype, bias=False, rngs=rngs)

  def heads(self, x_SxD, row: Row):
    queries, keys = self.counts
    all_SxNxK = row.project(self.qkv_proj, x_SxD).reshape(len(x_SxD), -1, self.head_dim)
    return jnp.split(all_SxNxK, (queries, queries + keys), axis=1)


class GLU(nnx.Module):
  """`down(silu(gate(x)) * up(x))`, where gate and up are one matrix."""

  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    width, inner = config.hidden_size, config.intermediate_size
    self.gate_up_proj = Linear(width, 2 * inner, dtype, bias=False, rngs=rngs)
    self.down_proj = Linear(inner, width, dtype, bias=False, rngs=rngs)
    self.dtype = dtype

  def __call__(self, x_SxD):
    gate_SxI, up_SxI = jnp.split(self.gate_up_proj(x_SxD), 2, axis=1)
    return self.down_proj(activate("silu", self.dtype, gate_SxI) * up_SxI)


class Block(llama.Block):
  """Llama's, from those two."""

  make_attention, make_mlp = Attention, GLU


def _implied(config: dict) -> dict:
  """What GGUF files say elsewhere: LongRoPE's factors are tensors, and no window is one of 0."""
  changes = {"sliding_window": config.get("sliding_window") or None}
  if "short_factor" in config:
    changes["rope_scaling"] = {
      "rope_type": "longrope",
      "short_factor": config["short_factor"].tolist(),
      "attention_factor": config.get("attention_factor", 1.0),
      "factor": 1.0,  # which only the attention's factor depends on
    }
  return changes


FAMILY = dataclasses.replace(
  llama.FAMILY,
  read_config=read_phi3,
  module=functools.partial(Llama, block=Block),
  gguf=GGUF(
    options={
      **llama.FAMILY.gguf.options,
      "attention.sliding_window": "sliding_window",
      "rope.scaling.original_context_length": "original_max_position_embeddings",
      "rope.scaling.attn_factor": "attention_factor",
    },
    implied=_implied,
  ),
)
