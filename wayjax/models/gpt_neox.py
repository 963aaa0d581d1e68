"""GPT-NeoX (Black et al., 2022), the architecture of Pythia."""

import dataclasses

import jax.numpy as jnp
from flax import nnx

from wayjax.errors import WayjaxError
from wayjax.models.decoder import RotaryDecoder, Row
from wayjax.models.family import Family
from wayjax.models.hyperparameters import read_fields, require_divides, require_one_of
from wayjax.models.layers import ACTIVATIONS, MLP, LayerNorm, Linear
from wayjax.models.rope_scaling import rope_options, with_rotation
from wayjax.models.rotary import Rotation, rotate


@dataclasses.dataclass(frozen=True)
class GPTNeoXConfig:
  """GPT-NeoX's hyper-parameters under Hugging Face's names; the defaults are the 20B model's.

  `frequencies` and `rotary_scale` are computed from all rotary options.
  """

  vocab_size: int = 50432
  hidden_size: int = 6144
  num_hidden_layers: int = 44
  num_attention_heads: int = 64
  intermediate_size: int = 24576
  hidden_act: str = "gelu"
  max_position_embeddings: int = 2048
  layer_norm_eps: float = 1e-5
  tie_word_embeddings: bool = False
  use_parallel_residual: bool = True
  attention_bias: bool = True
  frequencies: tuple[float, ...] = ()
  rotary_scale: float = 1.0

  @classmethod
  def from_hf(cls, config: dict) -> "GPTNeoXConfig":
    """Reads a Hugging Face configuration.

    Raises:
      WayjaxError: an option is not implemented or makes no sense.
    """
    require_one_of(config, "hidden_act", ACTIVATIONS)
    result = read_fields(cls, config)
    require_divides(result, "num_attention_heads", "hidden_size")
    # Outside rope_parameters these options have their own names.
    names = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}
    config = config | {new: config.get(name) for new, name in names.items()}
    head = result.hidden_size // result.num_attention_heads
    rotary_dim = int(head * rope_options(config).get("partial_rotary_factor", 0.25))
    if rotary_dim > head:
      raise WayjaxError(
        f"the model's configuration rotates {rotary_dim} of a head's {head} dimensions: set "
        "partial_rotary_factor or rotary_pct to at most 1"
      )
    return with_rotation(result, config, rotary_dim)


class Attention(nnx.Module):
  def __init__(self, config: GPTNeoXConfig, dtype, *, rngs: nnx.Rngs):
    width, bias = config.hidden_size, config.attention_bias
    self.query_key_value = Linear(width, 3 * width, dtype, bias=bias, rngs=rngs)
    self.dense = Linear(width, width, dtype, bias=bias, rngs=rngs)
    self.heads, self.dtype = config.num_attention_heads, dtype

  def __call__(self, x_SxD, row: Row):
    size, width = x_SxD.shape
    qkv_SxHx3xK = row.project(self.query_key_value, x_SxD).reshape(
      size, self.heads, 3, width // self.heads
    )
    # Split, because autodiff of three indexings would pad and add their gradients.
    q_SxHxK, k_SxHxK, v_SxHxK = (x[:, :, 0] for x in jnp.split(qkv_SxHx3xK, 3, axis=2))
    q_SxHxK = rotate(q_SxHxK, *row.cos_sin)
    k_SxHxK = rotate(k_SxHxK, *row.cos_sin)
    y_SxD = row.attend(q_SxHxK, k_SxHxK, v_SxHxK, self.dtype)
    return self.dense(y_SxD)


class Block(nnx.Module):
  def __init__(self, config: GPTNeoXConfig, dtype, *, rngs: nnx.Rngs):
    width, inner = config.hidden_size, config.intermediate_size
    self.input_layernorm = LayerNorm(width, config.layer_norm_eps)
    self.attention = Attention(config, dtype, rngs=rngs)
    self.post_attention_layernorm = LayerNorm(width, config.layer_norm_eps)
    self.mlp = MLP(width, inner, config.hidden_act, dtype, rngs=rngs)
    self.parallel = config.use_parallel_residual

  def __call__(self, h_SxD, row: Row):
    attended_SxD = row.read(h_SxD) + self.attention(self.input_layernorm(h_SxD), row)
    # In parallel form the MLP reads what attention read, not what attention wrote.
    read_SxD = row.read(h_SxD) if self.parallel else attended_SxD
    return attended_SxD + self.mlp(self.post_attention_layernorm(read_SxD))


class GPTNeoX(RotaryDecoder):
  """A frozen GPT-NeoX."""

  def __init__(self, config: GPTNeoXConfig, dtype=jnp.float32, *, rngs: nnx.Rngs):
    super().__init__(
      config.vocab_size,
      config.hidden_size,
      lambda rngs: Block(config, dtype, rngs=rngs),
      config.num_hidden_layers,
      LayerNorm(config.hidden_size, config.layer_norm_eps),
      dtype,
      rotations=(Rotation(config.frequencies, config.rotary_scale),),
      rngs=rngs,
    )


FAMILY = Family(
  read_config=GPTNeoXConfig.from_hf,
  module=GPTNeoX,
  prefixes=("gpt_neox.",),
  names={
    "embed_tokens": "embed_in",
    "norm": "final_layer_norm",
    "lm_head": "embed_out",
    "fc_in": "dense_h_to_4h",
    "fc_out": "dense_4h_to_h",
  },
  # Causal masks and frequencies.
  ignored=(r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)",),
)
