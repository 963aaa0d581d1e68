"""Frozen language models behind one door: `load_lm`."""

import dataclasses
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx

from wayjax import devices, hub
from wayjax.errors import WayjaxError
from wayjax.models import gpt2, weights

# model_type in config.json -> (the family's file, its configuration, its module)
FAMILIES = {"gpt2": (gpt2, gpt2.GPT2Config, gpt2.GPT2)}


@dataclasses.dataclass(frozen=True)
class LanguageModel:
  """A frozen language model and its tokenizer.

  Attributes:
    name: the folder or Hub id it was loaded from.
    revision: the Hub commit; None for a folder.
    tokenizer: the Hugging Face tokenizer.
    graphdef: the module's structure, hashable: a static argument of compiled functions.
    params: the weights, a pytree: a plain argument of compiled functions.
    max_positions: longest sequence, soft prompt included, in tokens.
    dtype: compute type of the matrices.
    parameters: how many numbers the model has; a tied head counts once.
  """

  name: str
  revision: str | None
  tokenizer: object
  graphdef: nnx.GraphDef
  params: nnx.State = dataclasses.field(repr=False)
  max_positions: int
  dtype: jnp.dtype
  parameters: int

  @property
  def table_VxD(self) -> jax.Array:
    """Embeddings of the tokens that text can have, (len(tokenizer), D), float32.

    Rows beyond the tokenizer, with which some models pad their table, are left out.
    """
    table_VxD = nnx.merge(self.graphdef, self.params).embedding_table()
    return table_VxD[: len(self.tokenizer)]


def load_lm(name: str, *, revision: str | None = None, precision: str = "auto") -> LanguageModel:
  """Loads a frozen language model and its tokenizer.

  Args:
    name: a local folder in Hugging Face's layout, or a Hub id such as `openai-community/gpt2`.
    revision: branch, tag or commit on the Hub; None means `main`.
    precision: `float32`, `bfloat16` or `auto` (bfloat16 where the device is fast at it).

  Returns:
    The model, with its matrices in the precision's type and everything else in float32.

  Raises:
    WayjaxError: no such model, an unsupported architecture or option, unsafe or unfit weights, or a
      tokenizer that cannot be used.
  """
  if os.path.isdir(name):
    folder, commit = Path(name), None
    if revision is not None:
      raise WayjaxError(f"--revision belongs to models on the Hub; '{name}' is a local folder")
  elif name.startswith((".", "/", "~")) or name.count("/") > 1:
    raise WayjaxError(f"model folder '{name}' does not exist")
  else:
    wanted = ["*.json", "*.txt", "*.safetensors"]
    folder = hub.snapshot(name, "model", revision, wanted, _is_complete)
    commit = folder.name
  config = _read_config(folder)
  family, config_class, module_class = _family(config, folder)
  dtype = jnp.dtype(devices.resolve_precision(precision))
  settings = config_class.from_hf(config)
  tokenizer = _load_tokenizer(folder, settings.vocab_size)
  abstract = nnx.eval_shape(lambda: module_class(settings, dtype, rngs=nnx.Rngs(0)))
  graphdef, abstract_params = nnx.split(abstract)
  params = weights.load_weights(
    abstract_params,
    weights.find_tensors(folder),
    family.TENSORS,
    family.IGNORED,
    family.PREFIX,
  )
  sizes = {family.TENSORS[path]: leaf.size for path, leaf in nnx.to_flat_state(abstract_params)}
  return LanguageModel(
    name=name,
    revision=commit,
    tokenizer=tokenizer,
    graphdef=graphdef,
    params=params,
    max_positions=settings.n_positions,
    dtype=dtype,
    parameters=sum(sizes.values()),
  )


def _is_complete(folder: Path) -> bool:
  return any(folder.glob("*.safetensors")) and _has_tokenizer(folder)


def _has_tokenizer(folder: Path) -> bool:
  # Without these files transformers makes up a tokenizer of one token.
  return (folder / "tokenizer.json").is_file() or all(
    (folder / name).is_file() for name in ("vocab.json", "merges.txt")
  )


def _read_config(folder: Path) -> dict:
  path = folder / "config.json"
  if not path.is_file():
    raise WayjaxError(f"{folder} is no model folder: it has no config.json")
  try:
    config = json.loads(path.read_text(encoding="utf-8"))
  except (OSError, ValueError) as error:
    raise WayjaxError(f"{path} cannot be read as JSON: {error}") from error
  if not isinstance(config, dict):
    raise WayjaxError(f"{path} holds no JSON object")
  return config


def _family(config: dict, folder: Path):
  model_type = config.get("model_type")
  if not isinstance(model_type, str) or model_type not in FAMILIES:
    raise WayjaxError(
      f"{folder} is a model of type {model_type!r}; supported: {', '.join(sorted(FAMILIES))}"
    )
  return FAMILIES[model_type]


def _load_tokenizer(folder: Path, vocab_size: int):
  os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # no torch is needed
  from transformers import AutoTokenizer  # imported here: it takes seconds

  if not _has_tokenizer(folder):
    raise WayjaxError(
      f"{folder} has no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt"
    )
  try:
    tokenizer = AutoTokenizer.from_pretrained(
      folder, local_files_only=True, trust_remote_code=False, clean_up_tokenization_spaces=False
    )
  except Exception as error:  # transformers raises whatever its parsers raise
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise WayjaxError(f"the tokenizer in {folder} cannot be loaded: {reason}") from error
  if tokenizer.eos_token_id is None:
    raise WayjaxError(
      f"the tokenizer in {folder} names no end-of-sequence token, which every label ends with: set "
      "eos_token in its tokenizer_config.json"
    )
  if len(tokenizer) > vocab_size:
    raise WayjaxError(
      f"the tokenizer in {folder} has {len(tokenizer)} tokens but the model only {vocab_size} "
      "embeddings: take the tokenizer that belongs to it"
    )
  return tokenizer
