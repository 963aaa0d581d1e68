"""Llama (Touvron et al., 2023; Llama team, 2024), with the options that the Qwen models change."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from wayjax.errors import WayjaxError
from wayjax.models.decoder import RotaryDecoder, Row
from wayjax.models.family import GGUF, Family
from wayjax.models.hyperparameters import read_fields, require, require_divides
from wayjax.models.layers import Linear, RMSNorm, activate
from wayjax.models.rotary import read_frequencies, rope_options, rotate


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
  """Llama's hyper-parameters under Hugging Face's names; the defaults are Llama 1's, 7B.

  Three fields are wayjax's own: `qkv_bias` (Qwen2's biases on q, k and v only), `qk_norm` (Qwen3's
  norms on the heads of q and k), and `frequencies`, computed from all rotary options.
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

  @classmethod
  def from_hf(cls, config: dict) -> "LlamaConfig":
    """Reads a Hugging Face configuration.

    Raises:
      WayjaxError: an option is not implemented or makes no sense.
    """
    require(config, "Llama", hidden_act="silu", sliding_window=None)
    return cls.read(config)

  @classmethod
  def read(cls, config: dict, **changes) -> "LlamaConfig":
    """Reads what Llama and Qwen share; `changes` are the family's own options."""
    own = {"qkv_bias": False, "qk_norm": False}  # no configuration sets these
    result = dataclasses.replace(read_fields(cls, config), **(own | changes))
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
    if rotary_dim != result.head_dim:
      raise WayjaxError(
        f"the model's configuration rotates {rotary_dim} of a head's {result.head_dim} "
        "dimensions (partial_rotary_factor); for Llama and Qwen wayjax can only rotate all"
      )
    return dataclasses.replace(result, frequencies=read_frequencies(config, rotary_dim))


class Attention(nnx.Module):
  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    width, head = config.hidden_size, config.head_dim
    queries, keys = config.num_attention_heads * head, config.num_key_value_heads * head
    bias = config.attention_bias or config.qkv_bias
    self.q_proj = Linear(width, queries, dtype, bias=bias, rngs=rngs)
    self.k_proj = Linear(width, keys, dtype, bias=bias, rngs=rngs)
    self.v_proj = Linear(width, keys, dtype, bias=bias, rngs=rngs)
    self.o_proj = Linear(queries, width, dtype, bias=config.attention_bias, rngs=rngs)
    self.q_norm = RMSNorm(head, config.rms_norm_eps) if config.qk_norm else None
    self.k_norm = RMSNorm(head, config.rms_norm_eps) if config.qk_norm else None
    self.head_dim, self.dtype = head, dtype

  def __call__(self, x_SxD, row: Row):
    size = len(x_SxD)
    q_SxHxK, k_SxGxK, v_SxGxK = (
      row.project(linear, x_SxD).reshape(size, -1, self.head_dim)
      for linear in (self.q_proj, self.k_proj, self.v_proj)
    )
    if self.q_norm is not None:
      q_SxHxK, k_SxGxK = self.q_norm(q_SxHxK), self.k_norm(k_SxGxK)
    q_SxHxK = rotate(q_SxHxK, *row.cos_sin)
    k_SxGxK = rotate(k_SxGxK, *row.cos_sin)
    y_SxO = row.attend(q_SxHxK, k_SxGxK, v_SxGxK, self.dtype)
    return self.o_proj(y_SxO)


class SwiGLU(nnx.Module):
  """`down(silu(gate(x)) * up(x))` (Shazeer, 2020)."""

  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    width, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
    self.gate_proj = Linear(width, inner, dtype, bias=bias, rngs=rngs)
    self.up_proj = Linear(width, inner, dtype, bias=bias, rngs=rngs)
    self.down_proj = Linear(inner, width, dtype, bias=bias, rngs=rngs)
    self.dtype = dtype

  def __call__(self, x_SxD):
    gate_SxI = activate("silu", self.dtype, self.gate_proj(x_SxD))
    return self.down_proj(gate_SxI * self.up_proj(x_SxD))


class Block(nnx.Module):
  def __init__(self, config: LlamaConfig, dtype, *, rngs: nnx.Rngs):
    self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
    self.self_attn = Attention(config, dtype, rngs=rngs)
    self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
    self.mlp = SwiGLU(config, dtype, rngs=rngs)

  def __call__(self, h_SxD, row: Row):
    h_SxD = row.read(h_SxD) + self.self_attn(self.input_layernorm(h_SxD), row)
    return h_SxD + self.mlp(self.post_attention_layernorm(h_SxD))


class Llama(RotaryDecoder):
  """A frozen Llama, Qwen2 or Qwen3."""

  def __init__(self, config: LlamaConfig, dtype=jnp.float32, *, rngs: nnx.Rngs):
    super().__init__(
      config.vocab_size,
      config.hidden_size,
      lambda rngs: Block(config, dtype, rngs=rngs),
      config.num_hidden_layers,
      RMSNorm(config.hidden_size, config.rms_norm_eps),
      dtype,
      frequencies=config.frequencies,
      rngs=rngs,
    )


FAMILY = Family(
  read_config=LlamaConfig.from_hf,
  module=Llama,
  prefix="model.",
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
