"""Frozen language models, all loaded by `load_lm`."""

import dataclasses
import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from wayjax import demo, hub
from wayjax.config import options
from wayjax.devices import select
from wayjax.devices.sharding import Layout, make_layout
from wayjax.errors import WayjaxError
from wayjax.files import exists, is_folder
from wayjax.models import (
  folder,
  gemma,
  gpt2,
  gpt_neox,
  gptj,
  llama,
  mistral,
  olmo2,
  opt,
  phi3,
  qwen,
  smollm3,
  weights,
)
from wayjax.models.family import Family
from wayjax.models.gguf_file import GGUFFile
from wayjax.models.hyperparameters import require_ids_unneeded
from wayjax.models.identity import WeightsHash
from wayjax.models.tokenizer import check_tokenizer, known_ids
from wayjax.options import check_value

# model_type in config.json, architecture in GGUF files -> family
FAMILIES: dict[str, Family] = {
  "gemma2": gemma.GEMMA2,
  "gemma3": gemma.GEMMA3,  # for texts and images; GGUF files call the text's part so, too
  "gemma3_text": gemma.GEMMA3,
  "gpt2": gpt2.FAMILY,
  "gpt_neox": gpt_neox.FAMILY,
  "gptj": gptj.FAMILY,
  "llama": llama.FAMILY,
  "mistral": mistral.FAMILY,
  "olmo2": olmo2.FAMILY,
  "opt": opt.FAMILY,
  "phi3": phi3.FAMILY,
  "qwen2": qwen.QWEN2,
  "qwen3": qwen.QWEN3,
  "smollm3": smollm3.FAMILY,
}


@dataclasses.dataclass(frozen=True)
class LanguageModel:
  """A frozen language model and its tokenizer.

  Attributes:
    name: the folder, GGUF file or Hub id it was loaded from.
    revision: the Hub commit; None for a model on this machine.
    tokenizer: the Hugging Face tokenizer.
    graphdef: the module's structure, hashable: a static argument of compiled functions.
    params: the weights, a pytree: a plain argument of compiled functions.
    max_positions: longest sequence, soft prompt included, in tokens: as many as the model has
      positions, and no more than `window`.
    dtype: compute type of the matrices.
    parameters: how many parameters the model has; a tied head counts once.
    weights_sha256: the hash of its hyper-parameters and tensors, whatever the compute type.
    layout: how its weights, and the members of a sweep, are laid out over the devices.
    window: how many positions its layers with a sliding window see; None without such layers.
  """

  name: str
  revision: str | None
  tokenizer: object
  graphdef: nnx.GraphDef
  params: nnx.State = dataclasses.field(repr=False)
  max_positions: int
  dtype: jnp.dtype
  parameters: int
  weights_sha256: str
  layout: Layout
  window: int | None = None

  @functools.cached_property
  def vocab_size(self) -> int:
    """V, how many tokens have an embedding; of some the tokenizer knows nothing."""
    return self._table_shape[0]

  @property
  def room(self) -> str:
    """How long a sequence may be, for messages."""
    why = " (of its sliding window)" if self.max_positions == self.window else ""
    return f"{self.max_positions:,} positions{why}"

  @property
  def width(self) -> int:
    """D, the width of a soft prompt."""
    return self._table_shape[1]

  @functools.cached_property
  def table_VxD(self) -> jax.Array:
    """Embeddings of the tokenizer's tokens, (largest id + 1, D), float32.

    Rows beyond the tokenizer, with which some models pad their table, are left out; of such a table
    this is a copy, made once.
    """
    return self._whole_table()[: self._ids[-1] + 1]

  @functools.cached_property
  def unused_U(self) -> np.ndarray | None:
    """The rows of `table_VxD` that belong to no token; None, as in most models, for none."""
    unused_U = np.setdiff1d(np.arange(self._ids[-1] + 1), self._ids)
    return unused_U if len(unused_U) else None

  @functools.cached_property
  def rows_of_no_token(self) -> tuple[int, ...]:
    """The rows of the model's whole table that belong to no token, those beyond `table_VxD` too."""
    return tuple(np.setdiff1d(np.arange(self.vocab_size), self._ids).tolist())

  @functools.cached_property
  def _ids(self) -> np.ndarray:
    return known_ids(self.tokenizer, self.vocab_size)

  def _whole_table(self, params: nnx.State | None = None) -> jax.Array:
    return nnx.merge(self.graphdef, params or self.params).embedding_table()

  @functools.cached_property
  def _table_shape(self) -> tuple[int, int]:
    # From the weights' shapes, so that a model without weights has it, too.
    return jax.eval_shape(self._whole_table, self.params).shape


def load_lm(
  name: str | Path, *, revision: str | None = None, precision: str = "auto", model_parallel: int = 1
) -> LanguageModel:
  """Loads a frozen language model and its tokenizer.

  Args:
    name: a local folder in Hugging Face's layout, a GGUF file, a Hub id such as
      `openai-community/gpt2`, or `demo`, the embedded model.
    revision: branch, tag or commit on the Hub; None means `main`.
    precision: `float32`, `bfloat16` or `auto` (bfloat16 where the device is fast at it).
    model_parallel: devices that share one copy of the weights, for models too large for one.

  Returns:
    The model, with its matrices in the precision's type and everything else in float32.

  Raises:
    WayjaxError: no such model, an unsupported architecture or option, unsafe or unsuitable weights,
      or a tokenizer that cannot be used.
  """
  os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # torch is not needed
  if not isinstance(name, str | Path):
    raise WayjaxError(f"a model is named by a text or a path, not by a {type(name).__name__}")
  name = str(name)
  rules = {field.name: field for field in options()}
  layout = make_layout(check_value(rules["model_parallel"], model_parallel, "model_parallel"))
  files, commit = _open(name, revision)
  family = _family(files)
  settings = family.read_config(files.config)
  tokenizer = files.load_tokenizer()
  check_tokenizer(tokenizer, files.path, settings.vocab_size)
  dtype = jnp.dtype(select.resolve_precision(precision))
  tied = settings.tie_word_embeddings
  graphdef, abstract = family.abstract(settings, dtype, layout.platform)
  stored, transposed = files.find_tensors(family, weights.tensor_names(abstract, family, tied=tied))
  digest = WeightsHash(settings, files.weight_files)
  params = weights.load_weights(
    abstract,
    stored,
    family,
    tied=tied,
    transposed=transposed,
    layout=layout,
    seen=digest.add,
  )
  window = getattr(settings, "sliding_window", None)
  return LanguageModel(
    name=name,
    revision=commit,
    tokenizer=tokenizer,
    graphdef=graphdef,
    params=params,
    max_positions=min(settings.max_position_embeddings, window or settings.max_position_embeddings),
    dtype=dtype,
    parameters=weights.count_parameters(abstract, family, tied=tied),
    weights_sha256=digest.hexdigest(),
    layout=layout,
    window=window,
  )


def _open(name: str, revision: str | None) -> tuple[folder.Folder | GGUFFile, str | None]:
  """The model files that a name refers to, and their commit on the Hub."""
  if name == demo.NAME:
    return folder.Folder(demo.MODEL), None
  if exists(name):
    if revision is not None:
      raise WayjaxError(f"--revision belongs to models on the Hub; '{name}' is on this machine")
    path = Path(name)
    return (folder.Folder(path) if is_folder(path) else GGUFFile(path, FAMILIES)), None
  if name.endswith(".gguf"):
    raise WayjaxError(f"model file '{name}' does not exist")
  if name.startswith((".", "/", "~")) or name.count("/") > 1:
    raise WayjaxError(f"model folder '{name}' does not exist")
  path = hub.snapshot(name, "model", revision, folder.PATTERNS, folder.is_complete)
  return folder.Folder(path), path.name


def _family(files: folder.Folder | GGUFFile) -> Family:
  model_type = files.config.get("model_type")
  inner = files.config.get("text_config")
  inner = inner if isinstance(inner, dict) else files.config
  require_ids_unneeded(files.path, model_type, inner.get("hidden_size_per_layer_input"))
  if not isinstance(model_type, str) or model_type not in FAMILIES:
    raise WayjaxError(
      f"{files.path} is a model of type {model_type!r}; supported: {', '.join(sorted(FAMILIES))}"
    )
  if files.config.get("is_causal", True) is not True:
    raise WayjaxError(
      f"{files.path} sets is_causal to {files.config['is_causal']!r}: wayjax implements "
      "causal models only"
    )
  if files.config.get("quantization_config"):
    raise WayjaxError(
      f"{files.path} sets quantization_config: wayjax reads quantised weights from GGUF files "
      "only; use those, or the model's unquantised safetensors"
    )
  return FAMILIES[model_type]
