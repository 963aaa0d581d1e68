"""GPT-2 (Radford et al., 2019), in any size."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from wayjax.models.decoder import Decoder, Row, Turns, embedding
from wayjax.models.family import GGUF, Family
from wayjax.models.hyperparameters import (
  GPT2_ALIASES,
  read_fields,
  require,
  require_divides,
  require_one_of,
  with_aliases,
)
from wayjax.models.layers import ACTIVATIONS, MLP, LayerNorm, Linear


@dataclasses.dataclass(frozen=True)
class GPT2Config:
  """GPT-2's hyper-parameters under Hugging Face's names; the defaults are the 124M model's."""

  vocab_size: int = 50257
  n_positions: int = 1024
  n_embd: int = 768
  n_layer: int = 12
  n_head: int = 12
  n_inner: int | None = None
  activation_function: str = "gelu_new"
  layer_norm_epsilon: float = 1e-5
  tie_word_embeddings: bool = True

  @property
  def max_position_embeddings(self) -> int:
    return self.n_positions

  @classmethod
  def from_hf(cls, config: dict) -> "GPT2Config":
    """Reads a Hugging Face configuration.

    Raises:
      WayjaxError: an option is not implemented or makes no sense.
    """
    require(
      config,
      "GPT-2",
      scale_attn_weights=True,
      scale_attn_by_inverse_layer_idx=False,
      add_cross_attention=False,
    )
    require_one_of(config, "activation_function", ACTIVATIONS)
    result = read_fields(cls, with_aliases(config, GPT2_ALIASES))
    require_divides(result, "n_head", "n_embd")
    return result


class Attention(nnx.Module):
  def __init__(self, config: GPT2Config, dtype, *, rngs: nnx.Rngs):
    self.c_attn = Linear(config.n_embd, 3 * config.n_embd, dtype, rngs=rngs)
    self.c_proj = Linear(config.n_embd, config.n_embd, dtype, rngs=rngs)
    self.n_head = config.n_head
    self.dtype = dtype

  def __call__(self, x_SxD, row: Row):
    size, width = x_SxD.shape
    qkv_Sx3xHxK = row.project(self.c_attn, x_SxD).reshape(
      size, 3, self.n_head, width // self.n_head
    )
    # Split, because autodiff of three indexings would pad and add their gradients.
    q_SxHxK, k_SxHxK, v_SxHxK = (x[:, 0] for x in jnp.split(qkv_Sx3xHxK, 3, axis=1))
    y_SxD = row.attend(q_SxHxK, k_SxHxK, v_SxHxK, self.dtype)
    return self.c_proj(y_SxD)


class Block(nnx.Module):
  def __init__(self, config: GPT2Config, dtype, *, rngs: nnx.Rngs):
    inner = config.n_inner or 4 * config.n_embd
    self.ln_1 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
    self.attn = Attention(config, dtype, rngs=rngs)
    self.ln_2 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
    self.mlp = MLP(config.n_embd, inner, config.activation_function, dtype, rngs=rngs)

  def __call__(self, h_SxD, row: Row):
    h_SxD = row.read(h_SxD) + self.attn(self.ln_1(h_SxD), row)
    return h_SxD + self.mlp(self.ln_2(h_SxD))


class GPT2(Decoder):
  """A frozen GPT-2; its position embeddings are learned."""

  def __init__(self, config: GPT2Config, dtype=jnp.float32, *, rngs: nnx.Rngs):
    super().__init__(
      config.vocab_size,
      config.n_embd,
      lambda rngs: Block(config, dtype, rngs=rngs),
      config.n_layer,
      LayerNorm(config.n_embd, config.layer_norm_epsilon),
      dtype,
      rngs=rngs,
    )
    self.wpe = embedding(config.n_positions, config.n_embd, rngs)

  def enter(self, x_SxD, positions_S):
    return x_SxD + self.wpe[...][positions_S], Turns()


FAMILY = Family(
  read_config=GPT2Config.from_hf,
  module=GPT2,
  prefixes=("transformer.",),
  names={
    "embed_tokens": "wte",
    "layers": "h",
    "norm": "ln_f",
    "fc_in": "c_fc",
    "mlp.fc_out": "mlp.c_proj",
  },
  transposed=False,  # Conv1D
  ignored=(r"h\.\d+\.attn\.(bias|masked_bias)",),  # causal masks
  gguf=GGUF(
    options={
      "context_length": "n_positions",
      "embedding_length": "n_embd",
      "feed_forward_length": "n_inner",
      "block_count": "n_layer",
      "attention.head_count": "n_head",
      "attention.layer_norm_epsilon": "layer_norm_epsilon",
    }
  ),
)
