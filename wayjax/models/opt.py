"""OPT (Zhang et al., 2022)."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from wayjax.models.decoder import Decoder, Row, Turns, embedding
from wayjax.models.family import Family
from wayjax.models.hyperparameters import read_fields, require, require_divides, require_one_of
from wayjax.models.layers import ACTIVATIONS, MLP, LayerNorm, Linear

_OFFSET = 2  # rows of the positions' table before that of the first position
_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class OPTConfig:
  """OPT's hyper-parameters under Hugging Face's names; the defaults are the 125M model's.

  Embeddings, and so prompts, have the width `word_embed_proj_dim`.
  """

  vocab_size: int = 50272
  hidden_size: int = 768
  num_hidden_layers: int = 12
  num_attention_heads: int = 12
  ffn_dim: int = 3072
  max_position_embeddings: int = 2048
  word_embed_proj_dim: int | None = None
  do_layer_norm_before: bool = True
  activation_function: str = "relu"
  tie_word_embeddings: bool = True

  @classmethod
  def from_hf(cls, config: dict) -> "OPTConfig":
    """Reads a Hugging Face configuration.

    Raises:
      WayjaxError: an option is not implemented or makes no sense.
    """
    implemented = {"enable_bias": True, "layer_norm_elementwise_affine": True}
    require(config, "OPT", _remove_final_layer_norm=False, **implemented)
    require_one_of(config, "activation_function", ACTIVATIONS)
    result = read_fields(cls, config)
    require_divides(result, "num_attention_heads", "hidden_size")
    width = result.word_embed_proj_dim or result.hidden_size
    return dataclasses.replace(result, word_embed_proj_dim=width)

  @property
  def projects(self) -> bool:
    """Whether embeddings have another width than layers."""
    return self.word_embed_proj_dim != self.hidden_size


class Attention(nnx.Module):
  def __init__(self, config: OPTConfig, dtype, *, rngs: nnx.Rngs):
    width = config.hidden_size
    self.q_proj = Linear(width, width, dtype, rngs=rngs)
    self.k_proj = Linear(width, width, dtype, rngs=rngs)
    self.v_proj = Linear(width, width, dtype, rngs=rngs)
    self.out_proj = Linear(width, width, dtype, rngs=rngs)
    self.heads, self.dtype = config.num_attention_heads, dtype

  def __call__(self, x_SxD, row: Row):
    size, width = x_SxD.shape
    q_SxHxK, k_SxHxK, v_SxHxK = (
      row.project(linear, x_SxD).reshape(size, self.heads, width // self.heads)
      for linear in (self.q_proj, self.k_proj, self.v_proj)
    )
    return self.out_proj(row.attend(q_SxHxK, k_SxHxK, v_SxHxK, self.dtype))


class Block(nnx.Module):
  """A layer with its norms before attention and MLP, or, in the 350M model, after each sum."""

  def __init__(self, config: OPTConfig, dtype, *, rngs: nnx.Rngs):
    width = config.hidden_size
    self.self_attn = Attention(config, dtype, rngs=rngs)
    self.self_attn_layer_norm = LayerNorm(width, _EPSILON)
    self.mlp = MLP(width, config.ffn_dim, config.activation_function, dtype, rngs=rngs)
    self.final_layer_norm = LayerNorm(width, _EPSILON)
    self.first = config.do_layer_norm_before

  def __call__(self, h_SxD, row: Row):
    if self.first:
      h_SxD = row.read(h_SxD) + self.self_attn(self.self_attn_layer_norm(h_SxD), row)
      return h_SxD + self.mlp(self.final_layer_norm(h_SxD))
    h_SxD = self.self_attn_layer_norm(row.read(h_SxD) + self.self_attn(h_SxD, row))
    return self.final_layer_norm(h_SxD + self.mlp(h_SxD))


class Leave(nnx.Module):
  """From the last layer to the head: a norm, unless layers end with theirs, and a projection."""

  def __init__(self, config: OPTConfig, dtype, *, rngs: nnx.Rngs):
    width, out = config.hidden_size, config.word_embed_proj_dim
    self.layer_norm = LayerNorm(width, _EPSILON) if config.do_layer_norm_before else None
    self.project_out = Linear(width, out, dtype, bias=False, rngs=rngs) if config.projects else None

  def __call__(self, h_RxD):
    h_RxD = h_RxD if self.layer_norm is None else self.layer_norm(h_RxD)
    return h_RxD if self.project_out is None else self.project_out(h_RxD)


class OPT(Decoder):
  """A frozen OPT; its position embeddings are learned."""

  def __init__(self, config: OPTConfig, dtype=jnp.float32, *, rngs: nnx.Rngs):
    width, embedded = config.hidden_size, config.word_embed_proj_dim
    super().__init__(
      config.vocab_size,
      embedded,
      lambda rngs: Block(config, dtype, rngs=rngs),
      config.num_hidden_layers,
      Leave(config, dtype, rngs=rngs),
      dtype,
      rngs=rngs,
    )
    self.embed_positions = embedding(config.max_position_embeddings + _OFFSET, width, rngs)
    self.project_in = (
      Linear(embedded, width, dtype, bias=False, rngs=rngs) if config.projects else None
    )

  def enter(self, x_SxD, positions_S):
    h_SxD = x_SxD if self.project_in is None else self.project_in(x_SxD)
    return h_SxD + self.embed_positions[...][positions_S + _OFFSET], Turns()


FAMILY = Family(
  read_config=OPTConfig.from_hf,
  module=OPT,
  prefixes=("model.decoder.", "decoder."),
  names={
    "norm.layer_norm": "final_layer_norm",
    "norm.project_out": "project_out",
    "mlp.fc_in": "fc1",
    "mlp.fc_out": "fc2",
  },
)
