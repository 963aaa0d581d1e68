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
from wayjax.models.rotary import Rotation, cos_sin


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
    cos_sin: cosines and sines of the positions' angles in this layer, for families with rotary
      embeddings.
    first: whether this is the first layer, whose text input has no gradient.
    scored_RxS: in the last layer, one-hot rows that select the positions read after it.
    platform: what computes it.
  """

  visible: Visible
  cos_sin: tuple[jax.Array, ...] = ()
  first: bool = dataclasses.field(default=False, metadata={"static": True})
  scored_RxS: jax.Array | None = None
  platform: str = dataclasses.field(default="cpu", metadata={"static": True})

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

  def attend(self, q_SxHxK, k_SxGxK, v_SxGxK, dtype, **how):
    """Attention from the positions that are read, heads concatenated: (S or R, H * K).

    `how` is the `scale` and the `cap` of `attention`.
    """
    visible = self.visible
    if self.scored_RxS is not None:
      q_SxHxK = self.read(q_SxHxK.reshape(len(q_SxHxK), -1)).reshape(-1, *q_SxHxK.shape[1:])
      visible = visible.of(jnp.argmax(self.scored_RxS, axis=1))
    y_SxHxK = attention(q_SxHxK, k_SxGxK, v_SxGxK, visible, dtype, platform=self.platform, **how)
    return y_SxHxK.reshape(len(y_SxHxK), -1)


@dataclasses.dataclass(frozen=True)
class Turns:
  """How the positions turn queries and keys in each layer.

  Attributes:
    kinds: cosines and sines, once for each kind of layer; none without rotary embeddings.
    kind_of: the kind of each layer, where there are several.
  """

  kinds: tuple[tuple[jax.Array, jax.Array], ...] = ()
  kind_of: tuple[int, ...] = ()

  def of(self, layer) -> tuple[jax.Array, ...]:
    """Cosines and sines of a layer, whose number may be traced."""
    if len(self.kinds) < 2:
      return self.kinds[0] if self.kinds else ()
    if isinstance(layer, int):
      return self.kinds[self.kind_of[layer]]
    kind = jnp.array(self.kind_of, jnp.int32)[layer]
    return jax.tree.map(lambda *each: lax.select_n(kind, *each), *self.kinds)


def _all_but_slices(primitive, *_, **__) -> bool:
  """A policy of `jax.checkpoint`: what is saved for the backward pass."""
  return primitive.name not in ("dynamic_slice", "squeeze", "reshape")


def apply_layers(stacked: nnx.Module, h_SxD, row: Row, turns: Turns, *, remat: bool = False):
  """Applies stacked layers in order.

  Args:
    stacked: layers, their weights along a leading axis.
    h_SxD: input of the first layer.
    row: what all layers know about the row.
    turns: how each layer turns queries and keys.
    remat: whether the backward pass recomputes each layer's activations, to save memory.

  Returns:
    (S, D), or (R, D) where the row names R scored positions.
  """
  graphdef, weights = nnx.split(stacked)
  last = len(jax.tree.leaves(weights)[0]) - 1
  inner = dataclasses.replace(row, scored_RxS=None)

  @jax.jit  # so that equal layers are traced once
  def layer(weights, h_SxD, row):
    return nnx.merge(graphdef, weights)(h_SxD, row)

  def apply(h_SxD, i, row):
    row = dataclasses.replace(row, cos_sin=turns.of(i))
    take = lax.index_in_dim if isinstance(i, int) else lax.dynamic_index_in_dim

    def of_stacked(weights, h_SxD, row):
      return layer(jax.tree.map(lambda w: take(w, i, keepdims=False), weights), h_SxD, row)

    if isinstance(i, int) and not remat:
      return of_stacked(weights, h_SxD, row)
    # Slices are cut again in the backward pass: saved, they are a copy of all weights in each step.
    policy = None if remat else _all_but_slices
    return jax.checkpoint(of_stacked, prevent_cse=False, policy=policy)(weights, h_SxD, row)

  if last == 0:
    return apply(h_SxD, 0, dataclasses.replace(row, first=True))
  h_SxD = apply(h_SxD, 0, dataclasses.replace(inner, first=True))
  # Unrolled layers are a fifth faster on a CPU; elsewhere compile time matters more. Unrolled, XLA
  # would merge recomputed activations with the first ones, and remat would free nothing.
  if row.platform == "cpu" and not remat:
    for i in range(1, last):
      h_SxD = apply(h_SxD, i, inner)
  else:
    h_SxD, _ = lax.scan(lambda h, i: (apply(h, i, inner), None), h_SxD, jnp.arange(1, last))
  return apply(h_SxD, last, row)


def embedding(rows: int, width: int, rngs: nnx.Rngs, dtype=jnp.float32, times=1.0) -> nnx.Param:
  """A table of vectors, (rows, width), which holds the model's own `times` as much."""
  table = times * 0.02 * jax.random.normal(rngs.params(), (rows, width), dtype)
  return nnx.Param(table) if times == 1 else nnx.Param(table, times=times)


class Head(nnx.Module):
  """The vocabulary head; its matrix is (V, D) in the compute type, whether tied or not.

  Args:
    vocab_size: V.
    width: D.
    dtype: compute type.
    bias: whether it has a bias.
    times: what its matrix holds, as a multiple of the model's own.
    cap: logits are `cap * tanh(logits / cap)` (Gemma team, 2024); None leaves them.
    rngs: keys for random weights.
  """

  def __init__(
    self, vocab_size: int, width: int, dtype, *, bias=False, times=1.0, cap=None, rngs: nnx.Rngs
  ):
    self.weight = embedding(vocab_size, width, rngs, dtype, times)
    self.bias = nnx.Param(jnp.zeros((vocab_size,), jnp.float32)) if bias else None
    self.times, self.cap = times, cap

  def __call__(self, h_RxD):
    """Logits over the vocabulary, (R, V), float32."""
    h_RxD = h_RxD if self.times == 1 else h_RxD * (1 / self.times)
    logits_RxV = frozen_dot(h_RxD, self.weight[...], 1)
    if self.bias is not None:
      logits_RxV = logits_RxV + self.bias[...][None, :]
    return logits_RxV if self.cap is None else self.cap * jnp.tanh(logits_RxV / self.cap)


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
    head_cap: the cap of logits, as in `Head`; None for none.
    embedding_scale: what the first layer reads, as a multiple of the stored embeddings. The table
      here is scaled, so prompts, targets and readings are, too.
    tied: whether the head is the embedding table; it matters only where that is scaled.
    rngs: keys for random weights (tests, benchmarks); loading replaces them.

  Attributes:
    platform: what it computes on: `cpu`, `gpu` or `tpu`.
    remat: whether the backward pass recomputes each layer's activations, to save memory.
  """

  platform, remat = "cpu", False

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
    head_cap: float | None = None,
    embedding_scale: float = 1.0,
    tied: bool = False,
    rngs: nnx.Rngs,
  ):
    self.embed_tokens = embedding(vocab_size, width, rngs, times=embedding_scale)
    self.layers = stack_layers(make_layer, n_layers, rngs)
    self.norm = norm
    # Its own parameter even when tied, so that it can be stored in the compute type; in float32 it
    # is the scaled table, of which there is then one array.
    times = embedding_scale if tied and dtype == jnp.float32 else 1.0
    self.lm_head = Head(
      vocab_size, width, dtype, bias=head_bias, times=times, cap=head_cap, rngs=rngs
    )

  def embedding_table(self):
    """The table that prompts are projected to, (V, D), float32: what the first layer reads."""
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
    h_SxD, turns = self.enter(x_SxD, positions_S)
    row = Row(visible, scored_RxS=scored_RxS, platform=self.platform)
    return self.norm(apply_layers(self.layers, h_SxD, row, turns, remat=self.remat))

  def enter(self, x_SxD, positions_S) -> tuple[jax.Array, Turns]:
    """What the first layer reads, (S, its width), and how each layer turns queries and keys."""
    raise NotImplementedError


class RotaryDecoder(Decoder):
  """A decoder whose layers rotate queries and keys by `row.cos_sin`.

  Args:
    rotations: the rotation of each kind of layer.
    kind_of: the kind of each layer; empty where all are of one kind.
  """

  def __init__(
    self, *args, rotations: tuple[Rotation, ...], kind_of: tuple[int, ...] = (), **options
  ):
    super().__init__(*args, **options)
    self.rotations, self.kind_of = rotations, kind_of

  def enter(self, x_SxD, positions_S):
    # Angles are the same in every layer of a kind, so they are computed once.
    kinds = tuple(cos_sin(rotation, positions_S) for rotation in self.rotations)
    return x_SxD, Turns(kinds, self.kind_of)
