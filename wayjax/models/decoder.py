"""The contract: what every family's language model does over one packed row.

A family's class hands its layers and final norm to `Decoder` (or `RotaryDecoder`); the rest of
wayjax calls `embedding_table`, `embed`, `hidden` and `lm_head`, and nothing else; `CachedDecoder`
reads a few positions at a time.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from wayjax.models.attention import Visible, attention
from wayjax.models.layers import frozen_dot
from wayjax.models.rotary import rotation


def stack_layers(make_layer, n_layers: int, rngs: nnx.Rngs) -> nnx.Module:
  """One module that holds `n_layers` layers, their weights stacked along a leading axis."""

  @nnx.split_rngs(splits=n_layers)
  @nnx.vmap(in_axes=(0,), out_axes=0)
  def make(rngs):
    return make_layer(rngs)

  return make(rngs)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Row:
  """What a layer knows about the packed row.

  Attributes:
    visible: which positions see which.
    cos_sin: cosines and sines of the positions' angles, for families with rotary embeddings.
    first: whether this is the first layer, whose text input has no gradient.
    scored_RxS: in the last layer, one-hot rows that select the positions read after it.
  """

  visible: Visible
  cos_sin: tuple[jax.Array, ...] = ()
  first: bool = dataclasses.field(default=False, metadata={"static": True})
  scored_RxS: jax.Array | None = None

  def project(self, linear, x_SxI):
    """`linear(x_SxI)`; in the first layer its backward pass covers only the prompt."""
    prompt = self.visible.prompt
    if not self.first or prompt == len(x_SxI):
      return linear(x_SxI)
    text_TxO = linear(lax.stop_gradient(x_SxI[prompt:]))
    return jnp.concatenate([linear(x_SxI[:prompt]), text_TxO])

  def read(self, x_SxD):
    """The positions of x that are needed further on: all, or in the last layer the scored ones."""
    if self.scored_RxS is None:
      return x_SxD
    # A one-hot product, because its backward pass is a product too; a gather's is a scatter-add.
    return jnp.matmul(self.scored_RxS, x_SxD, precision=lax.Precision.HIGHEST)

  def attend(self, q_SxHxK, k_SxGxK, v_SxGxK, dtype):
    """Attention from the positions that are read, heads concatenated: (S or R, H * K)."""
    visible = self.visible
    if self.scored_RxS is not None:
      q_SxHxK = self.read(q_SxHxK.reshape(len(q_SxHxK), -1)).reshape(-1, *q_SxHxK.shape[1:])
      visible = visible.of(jnp.argmax(self.scored_RxS, axis=1))
    y_SxHxK = attention(q_SxHxK, k_SxGxK, v_SxGxK, visible, dtype)
    return y_SxHxK.reshape(len(y_SxHxK), -1)


def apply_layers(stacked: nnx.Module, h_SxD, row: Row, *, remat: bool = False):
  """Applies stacked layers in order.

  Args:
    stacked: layers, their weights along a leading axis.
    h_SxD: input of the first layer.
    row: what the layers know about the row.
    remat: whether the backward pass recomputes each layer's activations, to save memory.

  Returns:
    (S, D), or (R, D) where the row names R scored positions.
  """
  graphdef, weights = nnx.split(stacked)
  last = len(jax.tree.leaves(weights)[0]) - 1
  inner = dataclasses.replace(row, scored_RxS=None)

  # Unrolled layers are a fifth faster on a CPU; elsewhere compile time matters more. Unrolled, XLA
  # would merge recomputed activations with the first ones, and remat would free nothing.
  unrolled = jax.default_backend() == "cpu" and not remat

  @jax.jit  # so that equal layers are traced once
  def layer(weights, h_SxD, row):
    return nnx.merge(graphdef, weights)(h_SxD, row)

  def apply(h_SxD, i, row):
    take = lax.index_in_dim if isinstance(i, int) else lax.dynamic_index_in_dim
    layer_weights = jax.tree.map(lambda w: take(w, i, keepdims=False), weights)
    if remat:
      return jax.checkpoint(layer, prevent_cse=False)(layer_weights, h_SxD, row)
    return layer(layer_weights, h_SxD, row)

  if last == 0:
    return apply(h_SxD, 0, dataclasses.replace(row, first=True))
  h_SxD = apply(h_SxD, 0, dataclasses.replace(inner, first=True))
  if unrolled:
    for i in range(1, last):
      h_SxD = apply(h_SxD, i, inner)
  else:
    h_SxD, _ = lax.scan(lambda h, i: (apply(h, i, inner), None), h_SxD, jnp.arange(1, last))
  return apply(h_SxD, last, row)


def embedding(rows: int, width: int, rngs: nnx.Rngs) -> nnx.Param:
  """A table of vectors, (rows, width), float32."""
  return nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, width), jnp.float32))


class Head(nnx.Module):
  """The vocabulary head; its matrix is (V, D) in the compute type, whether tied or not."""

  def __init__(self, vocab_size: int, width: int, dtype, *, bias: bool, rngs: nnx.Rngs):
    self.weight = nnx.Param(0.02 * jax.random.normal(rngs.params(), (vocab_size, width), dtype))
    self.bias = nnx.Param(jnp.zeros((vocab_size,), jnp.float32)) if bias else None

  def __call__(self, h_RxD):
    """Logits over the vocabulary, (R, V), float32."""
    logits_RxV = frozen_dot(h_RxD, self.weight[...], 1)
    return logits_RxV if self.bias is None else logits_RxV + self.bias[...][None, :]


class Decoder(nnx.Module):
  """A frozen decoder-only language model.

  Args:
    vocab_size: V, rows of the embedding table.
    width: D.
    make_layer: makes one layer from random keys; called once, for all layers.
    n_layers: number of layers.
    norm: the norm after the last layer.
    dtype: compute type of the matrices: float32 or bfloat16.
    head_bias: whether the head has a bias.
    rngs: keys for random weights (tests, benchmarks); loading replaces them.

  Attributes:
    remat: whether the backward pass recomputes each layer's activations, to save memory.
  """

  remat = False

  def __init__(
    self,
    vocab_size: int,
    width: int,
    make_layer,
    n_layers: int,
    norm: nnx.Module,
    dtype,
    *,
    head_bias: bool = False,
    rngs: nnx.Rngs,
  ):
    self.embed_tokens = embedding(vocab_size, width, rngs)
    self.layers = stack_layers(make_layer, n_layers, rngs)
    self.norm = norm
    # Its own array even when tied, so that it can be stored in the compute type.
    self.lm_head = Head(vocab_size, width, dtype, bias=head_bias, rngs=rngs)

  def embedding_table(self):
    """The table that prompts are projected to, (V, D), float32."""
    return self.embed_tokens[...]

  def embed(self, ids_S):
    """Input embeddings of token ids, (S, D), before positions are added."""
    return self.embed_tokens[...][ids_S]

  def hidden(self, x_SxD, positions_S, visible: Visible, scored_RxS=None):
    """Final hidden states of one packed row.

    Args:
      x_SxD: input embeddings; soft-prompt vectors are treated like any others.
      positions_S: position of each, below `max_position_embeddings`.
      visible: which positions see which. No gradient flows to text, only to the prompt.
      scored_RxS: one-hot rows that select the positions wanted; None means all.

    Returns:
      (R, D) or (S, D), float32, after the last norm.
    """
    h_SxD, cos_sin = self.enter(x_SxD, positions_S)
    row = Row(visible, cos_sin, scored_RxS=scored_RxS)
    return self.norm(apply_layers(self.layers, h_SxD, row, remat=self.remat))

  def enter(self, x_SxD, positions_S):
    """What the first layer reads, (S, D), and the positions' cosines and sines, if any."""
    raise NotImplementedError


class RotaryDecoder(Decoder):
  """A decoder whose layers rotate queries and keys by `row.cos_sin`."""

  def __init__(self, *args, frequencies: tuple[float, ...], **options):
    super().__init__(*args, **options)
    self.frequencies = frequencies

  def enter(self, x_SxD, positions_S):
    # The angles are the same in every layer, so they are computed once.
    return x_SxD, rotation(self.frequencies, positions_S)
