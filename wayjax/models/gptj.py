"""GPT-J (Wang and Komatsuzaki, 2021)."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from wayjax.errors import WayjaxError
from wayjax.models.decoder import RotaryDecoder, Row
from wayjax.models.family import Family
from wayjax.models.hyperparameters import (
  GPT2_ALIASES,
  read_fields,
  require_divides,
  require_one_of,
  with_aliases,
)
from wayjax.models.layers import ACTIVATIONS, MLP, LayerNorm, Linear
from wayjax.models.rope_scaling import read_rotation
from wayjax.models.rotary import Rotation, rotate


@dataclasses.dataclass(frozen=True)
class GPTJConfig:
  """GPT-J's hyper-parameters under Hugging Face's names; the defaults are the 6B model's.

  `frequencies` are those of the first `rotary_dim` dimensions of every head.
  """

  vocab_size: int = 50400
  n_positions: int = 2048
  n_embd: int = 4096
  n_layer: int = 28
  n_head: int = 16
  n_inner: int | None = None
  rotary_dim: int = 64
  activation_function: str = "gelu_new"
  layer_norm_epsilon: float = 1e-5
  tie_word_embeddings: bool = False
  frequencies: tuple[float, ...] = ()

  @property
  def max_position_embeddings(self) -> int:
    return self.n_positions

  @classmethod
  def from_hf(cls, config: dict) -> "GPTJConfig":
    """Reads a Hugging Face configuration.

    Raises:
      WayjaxError: an option is not implemented or makes no sense.
    """
    require_one_of(config, "activation_function", ACTIVATIONS)
    result = read_fields(cls, with_aliases(config, GPT2_ALIASES))
    require_divides(result, "n_head", "n_embd")
    head = result.n_embd // result.n_head
    if result.rotary_dim > head:
      raise WayjaxError(
        f"the model's configuration sets rotary_dim to {result.rotary_dim}; a head has {head} "
        "dimensions"
      )
    rotation, _ = read_rotation({}, result.rotary_dim)  # the base is fixed
    return dataclasses.replace(result, frequencies=rotation.frequencies)


class Attention(nnx.Module):
  def __init__(self, config: GPTJConfig, dtype, *, rngs: nnx.Rngs):
    width = config.n_embd
    self.q_proj = Linear(width, width, dtype, bias=False, rngs=rngs)
    self.k_proj = Linear(width, width, dtype, bias=False, rngs=rngs)
    self.v_proj = Linear(width, width, dtype, bias=False, rngs=rngs)
    self.out_proj = Linear(width, width, dtype, bias=False, rngs=rngs)
    self.heads, self.dtype = config.n_head, dtype

  def __call__(self, x_SxD, row: Row):
    size, width = x_SxD.shape
    q_SxHxK, k_SxHxK, v_SxHxK = (
      row.project(linear, x_SxD).reshape(size, self.heads, width // self.heads)
      for linear in (self.q_proj, self.k_proj, self.v_proj)
    )
    q_SxHxK = rotate(q_SxHxK, *row.cos_sin, interleaved=True)
    k_SxHxK = rotate(k_SxHxK, *row.cos_sin, interleaved=True)
    y_SxD = row.attend(q_SxHxK, k_SxHxK, v_SxHxK, self.dtype)
    return self.out_proj(y_SxD)


class Block(nnx.Module):
  def __init__(self, config: GPTJConfig, dtype, *, rngs: nnx.Rngs):
    inner = config.n_inner or 4 * config.n_embd
    self.ln_1 = LayerNorm(config.n_embd, config.layer_norm_epsilon)
    self.attn = Attention(config, dtype, rngs=rngs)
    self.mlp = MLP(config.n_embd, inner, config.activation_function, dtype, rngs=rngs)

  def __call__(self, h_SxD, row: Row):
    x_SxD = self.ln_1(h_SxD)  # attention and MLP read the same input
    return row.read(h_SxD) + self.attn(x_SxD, row) + self.mlp(row.read(x_SxD))


class GPTJ(RotaryDecoder):
  """A frozen GPT-J; its head has a bias."""

  def __init__(self, config: GPTJConfig, dtype=jnp.float32, *, rngs: nnx.Rngs):
    super().__init__(
      config.vocab_size,
      config.n_embd,
      lambda rngs: Block(config, dtype, rngs=rngs),
      config.n_layer,
      LayerNorm(config.n_embd, config.layer_norm_epsilon),
      dtype,
      head_bias=True,
      rotations=(Rotation(config.frequencies),),
      rngs=rngs,
    )


FAMILY = Family(
  read_config=GPTJConfig.from_hf,
  module=GPTJ,
  prefixes=("transformer.",),
  names={"embed_tokens": "wte", "layers": "h", "norm": "ln_f"},
  ignored=(r"h\.\d+\.attn\.(bias|masked_bias|embed_positions)",),  # causal masks, sines
)
