"""Llama (Touvron et al., 2023; Llama team, 2024), with the options that its descendants change."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from wayjax.errors import WayjaxError
from wayjax.models.decoder import RotaryDecoder, Row
from wayjax.models.family import GGUF, Family
from wayjax.models.hyperparameters import read_fields, require, require_divides
from wayjax.models.layers import Linear, RMSNorm, activate
from wayjax.models.rope_scaling import rope_options, with_rotation
from wayjax.models.rotary import Rotation, rotate

# Fields that are some families' options, or none's.
_OF_SOME = {"qkv_bias", "qk_norm", "sliding_window", "hidden_act"}
_OF_SOME |= {"query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping"}


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
  """Llama's hyper-parameters under Hugging Face's names; the defaults are Llama 1's, 7B.

  Some fields are wayjax's own: `qkv_bias` (Qwen2's biases on q, k and v only), `qk_norm` (norms on
  the heads of q and k, as in Qwen3), and what is computed from all rotary options: `frequencies`,
  `rotary_scale`, and `unrotated`, the layers that rotate nothing. No sequence is longer than
  `sliding_window`, so it changes nothing but the longest sequence.
  """

  vocab_size: int = 32000
  hidden_size: int = 4096
  intermediate_size: int = 11008
  num_hidden_layers: int = 32
  num_attention_heads: int = 32
  num_key_value_heads: int | None = None
  head_dim: int | None = None
  max_position_embeddings: int = 2048
  rms_norm_eps: float = 1e-6
  tie_word_embeddings: bool = False
  attention_bias: bool = False
  mlp_bias: bool = False
  qkv_bias: bool = False
  qk_norm: bool = False
  frequencies: tuple[float, ...] = ()
  rotary_scale: float = 1.0
  unrotated: tuple[int, ...] = ()
  sliding_window: int | None = None
  query_pre_attn_scalar: float | None = None
  attn_logit_softcapping: float | None = None
  final_logit_softcapping: float | None = None
  hidden_act: str = "silu"

  @classmethod
  def from_hf(cls, config: dict) -> "LlamaConfig":
    """Reads a Hugging Face configuration.

    Raises:
      WayjaxError: an option is not implemented or makes no sense.
    """
    require(config, "Llama", hidden_act="silu", sliding_window=None)
    return cls.read(config)

  @classmethod
  def read(
    cls, config: dict, *, reads: tuple[str, ...] = (), rotates_part: bool = False, **own
  ) -> "LlamaConfig":
    """Reads what Llama and its descendants share.

    Args:
      config: a Hugging Face configuration.
      reads: options of the configuration that only this family has.
      rotates_part: whether the family may rotate a part of a head's dimensions only.
      own: fields that no configuration sets, where they are not their defaults.

    Raises:
      WayjaxError: an option is not implemented or makes no sense.
    """
    known = {name: config[name] for name in config.keys() - _OF_SOME.difference(reads)}
    result = dataclasses.replace(read_fields(cls, known), **own)
    if result.head_dim is None:
      require_divides(result, "num_attention_heads", "hidden_size")
    heads = result.num_attention_heads
    result = dataclasses.replace(
      result,
      num_key_value_heads=result.num_key_value_heads or heads,
      head_dim=result.head_dim or result.hidden_size // heads,
    )
    require_divides(result, "num_key_value_heads", "num_attention_heads")
    rotary_dim = int(result.head_dim * rope_options(config).get("partial_rotary_factor", 1.0))
    rotary_dim = config.get("rotary_dim", rotary_dim)  # GGUF files state it
    fits = isinstance(rotary_dim, int) and rotates_part and rotary_dim < result.head_dim
    if rotary_dim != result.head_dim and not fits:
      raise WayjaxError(
        f"the model's configuration rotates {rotary_dim} of a head's {result.head_dim} "
        "dimensions (partial_rotary_factor); for this family wayjax can only rotate all"
      )
    return with_rotation(result, config, rotary_dim)

  @property
  def rotations(self) -> tuple[Rotation, ...]:
    """The rotation of each kind of layer: those that rotate, and those that do not."""
    rotation = Rotation(self.frequencies, self.rotary_scale)
    return (rotation, Rotation((0.0,) * len(self.frequencies))) if self.unrotated else (rotation,)

  @property
  def kind_of(self) -> tuple[int, ...]:
    """The kind of each layer, where there are several."""
    if not self.unrotated:
      return ()
    return tuple(int(layer in self.unrotated) for layer in range(self.num_hidden_layers))


class RotaryAttention(nnx.Module):
  """Grouped-query attention with rotary embeddings, from wherever its heads come."""

  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    inner, bias = config.num_attention_heads * config.head_dim, config.attention_bias
    self.o_proj = Linear(inner, config.hidden_size, dtype, bias=bias, rngs=rngs)
    self.head_dim, self.dtype = config.head_dim, dtype
    scalar = config.query_pre_attn_scalar
    self.scale = None if scalar is None else scalar**-0.5
    self.cap = config.attn_logit_softcapping

  def heads(self, x_SxD, row: Row):
    """Queries (S, H, K), keys and values (S, G, K), before they are rotated."""
    raise NotImplementedError

  def __call__(self, x_SxD, row: Row):
    q_SxHxK, k_SxGxK, v_SxGxK = self.heads(x_SxD, row)
    q_SxHxK = rotate(q_SxHxK, *row.cos_sin)
    k_SxGxK = rotate(k_SxGxK, *row.cos_sin)
    y_SxO = row.attend(q_SxHxK, k_SxGxK, v_SxGxK, self.dtype, scale=self.scale, cap=self.cap)
    return self.o_proj(y_SxO)


class Attention(RotaryAttention):
  """Heads from three matrices; with `qk_norm`, those of q and k have a norm."""

  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    super().__init__(config, dtype, rngs=rngs)
    width, head = config.hidden_size, config.head_dim
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    bias = config.attention_bias or config.qkv_bias
    self.q_proj = Linear(width, queries, dtype, bias=bias, rngs=rngs)
    self.k_proj = Linear(width, keys, dtype, bias=bias, rngs=rngs)
    self.v_proj = Linear(width, keys, dtype, bias=bias, rngs=rngs)
    self.norms_heads = config.qk_norm
    if self.norms_heads:
      self.q_norm = RMSNorm(head, config.rms_norm_eps)
      self.k_norm = RMSNorm(head, config.rms_norm_eps)

  def heads(self, x_SxD, row: Row):
    q_SxHxK, k_SxGxK, v_SxGxK = (
      row.project(linear, x_SxD).reshape(len(x_SxD), -1, self.head_dim)
      for linear in (self.q_proj, self.k_proj, self.v_proj)
    )
    if self.norms_heads:
      q_SxHxK, k_SxGxK = self.q_norm(q_SxHxK), self.k_norm(k_SxGxK)
    return q_SxHxK, k_SxGxK, v_SxGxK


class GLU(nnx.Module):
  """`down(activation(gate(x)) * up(x))` (Shazeer, 2020); the activation by Hugging Face's name."""

  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    width, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
    self.gate_proj = Linear(width, inner, dtype, bias=bias, rngs=rngs)
    self.up_proj = Linear(width, inner, dtype, bias=bias, rngs=rngs)
    self.down_proj = Linear(inner, width, dtype, bias=bias, rngs=rngs)
    self.activation, self.dtype = config.hidden_act, dtype

  def __call__(self, x_SxD):
    gate_SxI = activate(self.activation, self.dtype, self.gate_proj(x_SxD))
    return self.down_proj(gate_SxI * self.up_proj(x_SxD))


class Block(nnx.Module):
  """A layer with a norm before attention and one before the MLP; descendants change those two."""

  make_attention, make_mlp = Attention, GLU

  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
    self.self_attn = self.make_attention(config, dtype, rngs=rngs)
    self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
    self.mlp = self.make_mlp(config, dtype, rngs=rngs)

  def __call__(self, h_SxD, row: Row):
    h_SxD = row.read(h_SxD) + self.self_attn(self.input_layernorm(h_SxD), row)
    return h_SxD + self.mlp(self.post_attention_layernorm(h_SxD))


class Llama(RotaryDecoder):
  """A frozen Llama, or a descendant.

  Args:
    config: hyper-parameters.
    dtype: compute type of the matrices.
    block: makes a layer from those two and random keys.
    options: other options of `Decoder`.
    rngs: keys for random weights.
  """

  def __init__(
    self, config: LlamaConfig, dtype=jnp.float32, *, block=Block, rngs: nnx.Rngs, **options
  ):
    super().__init__(
      config.vocab_size,
      config.hidden_size,
      lambda rngs: block(config, dtype, rngs=rngs),
      config.num_hidden_layers,
      RMSNorm(config.hidden_size, config.rms_norm_eps),
      dtype,
      rotations=config.rotations,
      kind_of=config.kind_of,
      rngs=rngs,
      **options,
    )


FAMILY = Family(
  read_config=LlamaConfig.from_hf,
  module=Llama,
  prefixes=("model.",),
  ignored=(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
  gguf=GGUF(
    options={
      "context_length": "max_position_embeddings",
      "embedding_length": "hidden_size",
      "feed_forward_length": "intermediate_size",
      "block_count": "num_hidden_layers",
      "attention.head_count": "num_attention_heads",
      "attention.head_count_kv": "num_key_value_heads",
      "attention.key_length": "head_dim",
      "attention.layer_norm_rms_epsilon": "rms_norm_eps",
      "rope.freq_base": "rope_theta",
      "rope.dimension_count": "rotary_dim",
    },
    permuted={"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"},
  ),
)
