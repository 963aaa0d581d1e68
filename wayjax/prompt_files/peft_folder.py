"""A soft prompt that Hugging Face's PEFT wrote, by prompt tuning; nothing in it is ever run."""

from pathlib import Path

from wayjax.errors import WayjaxError, reason
from wayjax.files import MIB, exists, is_file, parse_json, read_text
from wayjax.prompt_files import tensors
from wayjax.prompt_files.belonging import choose_model
from wayjax.prompt_files.metadata import read_metadata
from wayjax.prompts import SoftPrompt

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = (CONFIG, WEIGHTS)
TENSOR = "prompt_embeddings"
TYPE, TASK = "PROMPT_TUNING", "CAUSAL_LM"
_PICKLE = "adapter_model.bin"
# What other kinds of adapters are, for those who take them for soft prompts.
_OTHERS = {
  "PREFIX_TUNING": "keys and values of every layer",
  "P_TUNING": "vectors that an encoder makes",
  "MULTITASK_PROMPT_TUNING": "a prompt that is multiplied by one of several tasks' factors",
  "LORA": "changes to the model's weights",
}


def is_complete(folder: Path) -> bool:
  """Whether a folder has all that is read from it."""
  return all(exists(folder / name) for name in FILES)


def read(folder: Path, model) -> SoftPrompt:
  """Reads a PEFT folder's prompt; for `model` and errors see `load_prompt`."""
  path = folder / CONFIG
  config = _read_config(path)
  if not is_file(folder / WEIGHTS):
    if exists(folder / _PICKLE):
      raise WayjaxError(
        f"{folder} has only {_PICKLE}, a pickle file, which can run code and is never opened: save "
        "the adapter again with PEFT's save_pretrained"
      )
    raise WayjaxError(
      f"{folder} has no {WEIGHTS}: save the adapter again with PEFT's save_pretrained"
    )
  vectors_PxD, _, metadata = tensors.read(folder / WEIGHTS, TENSOR)
  for name, size in zip(("num_virtual_tokens", "token_dim"), vectors_PxD.shape):
    if config.get(name, size) not in (size, None):
      raise WayjaxError(
        f"{path} sets {name} to {config[name]!r}, but {TENSOR} has the shape {vectors_PxD.shape}: "
        "one of the two files is of another adapter; save it again"
      )
  stored = read_metadata(metadata, str(folder / WEIGHTS))
  named = config.get("base_model_name_or_path")
  if named is not None and (not isinstance(named, str) or not named):
    raise WayjaxError(f"{path} sets base_model_name_or_path to {named!r}: it must name a model")
  origin = {name: value for name, value in config.items() if name != "tokenizer_kwargs"}
  origin |= {"folder": str(folder)} | ({"wayjax": stored.record} if stored.record else {})
  return SoftPrompt(
    vectors_PxD,
    choose_model(str(folder), named, stored.weights_sha256, model),
    stored.reads_as,
    origin,
    before=stored.before,
    after=stored.after,
    reply=stored.reply,
  )


def _read_config(path: Path) -> dict:
  """A folder's adapter_config.json, of a prompt that is put before a causal model's input."""
  try:
    config = parse_json(read_text(path, MIB))
  except (ValueError, RecursionError) as error:
    raise WayjaxError(f"{path} cannot be read as JSON: {reason(error)}") from error
  if not isinstance(config, dict):
    raise WayjaxError(f"{path} does not contain a JSON object")
  kind = _need(config, "peft_type", path)
  if kind != TYPE:
    what = _OTHERS.get(kind) if isinstance(kind, str) else None
    raise WayjaxError(
      f"{path} is of an adapter of type {kind!r}{f', {what}' if what else ''}: wayjax reads {TYPE} "
      "only, vectors that are put before the input"
    )
  _need(config, "num_virtual_tokens", path)  # other kinds have none
  task, parts = config.get("task_type"), config.get("num_transformer_submodules")
  if task == "SEQ_2_SEQ_LM" or (type(parts) is int and parts == 2):
    raise WayjaxError(
      f"{path} is of a prompt for an encoder–decoder model: wayjax reads those of causal language "
      f"models only, {TASK}"
    )
  if task not in (None, TASK):
    raise WayjaxError(
      f"{path} sets task_type to {task!r}: wayjax reads soft prompts of causal language models "
      f"only, {TASK}"
    )
  if parts is not None and (type(parts) is not int or parts != 1):
    raise WayjaxError(f"{path} sets num_transformer_submodules to {parts!r}: causal models have 1")
  return config


def _need(config: dict, name: str, path: Path):
  if config.get(name) is None:
    raise WayjaxError(f"{path} lacks {name}: save the adapter again with PEFT's save_pretrained")
  return config[name]
