"""SoftPrompt, the noun that everything else is about: it is made, it does something, it is read.

Tuning makes soft prompts; so do the functions here, from a text, a safetensors file or a PEFT
folder. A run folder's come from `wayjax.read_run(folder).prompt(key)`. Free of jax, so that prompts
are read without it.
"""

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path

import ml_dtypes  # safetensors also looks bfloat16 up among NumPy's types
import numpy as np
from safetensors import SafetensorError, safe_open

from wayjax.data.encoding import target_ids
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError, reason
from wayjax.files import MIB, is_file, is_folder, read_text
from wayjax.options import require_kind

PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PEFT_TENSOR = "prompt_embeddings"
_FLOATS = (np.float16, np.float32, np.float64, ml_dtypes.bfloat16)


@dataclasses.dataclass(frozen=True, eq=False)
class SoftPrompt:
  """A soft prompt: vectors that are put before a frozen language model's input.

  Attributes:
    vectors_PxD: its vectors, in the space that enters the first layer: float32, on the host, and
      read-only.
    model: the model whose embedding table they are compared with, as `load_lm` names it.
    reads_as: the text that it is to read as; None for a prompt that was found.
    before: the text that it was tuned after, special tokens by their names; None if not known.
    after: the text that stood between it and the examples; None if not known.
    origin: where it comes from, such as a run folder and its key, or PEFT's adapter_config.json.

  Raises:
    WayjaxError: the vectors are not a matrix of real numbers, or it reads as what is no Target.
  """

  vectors_PxD: np.ndarray
  model: str
  reads_as: Target | None = None
  origin: dict = dataclasses.field(default_factory=dict)
  before: str | None = None
  after: str | None = None

  def __post_init__(self):
    if self.reads_as is not None:
      require_kind("reads_as", self.reads_as, Target, "a Target")
    for name in ("before", "after"):
      if getattr(self, name) is not None:
        require_kind(name, getattr(self, name), str, "a text")
    try:
      given = np.asarray(self.vectors_PxD)
      if np.iscomplexobj(given):
        raise TypeError("these are complex")
      vectors_PxD = np.array(given, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
      raise WayjaxError(f"a soft prompt is made of numbers: {reason(error)}") from error
    if vectors_PxD.ndim != 2 or 0 in vectors_PxD.shape:
      raise WayjaxError(
        f"a soft prompt has the shape (tokens, width), not {np.shape(self.vectors_PxD)}"
      )
    vectors_PxD.flags.writeable = False
    object.__setattr__(self, "vectors_PxD", vectors_PxD)

  def __len__(self) -> int:
    """P, its length in tokens."""
    return len(self.vectors_PxD)

  @property
  def width(self) -> int:
    """D, the width of the model it belongs to."""
    return self.vectors_PxD.shape[1]


def check_prompts(prompts: list[SoftPrompt], model: str, width: int) -> None:
  """Raises WayjaxError where something is not a list of soft prompts that fit a model.

  Args:
    prompts: what should be one.
    model: the model's name.
    width: its D.
  """
  if isinstance(prompts, SoftPrompt):
    raise WayjaxError("prompts must be a list of SoftPrompts, not a single one")
  require_kind("prompts", prompts, Collection, "a list of SoftPrompts")
  for prompt in prompts:
    if not isinstance(prompt, SoftPrompt):
      raise WayjaxError(
        f"prompts must be a list of SoftPrompts, and one is a {type(prompt).__name__}"
      )
    if prompt.width != width:
      raise WayjaxError(
        f"a prompt of width {prompt.width} does not fit {model}, whose width is {width}"
      )


def text_prompt(lm, text: str | Target) -> SoftPrompt:
  """A text as a soft prompt, the embeddings of its tokens: c-proj (Eq. 1).

  Args:
    lm: the language model.
    text: the text, or a target.

  Raises:
    WayjaxError: the text has no tokens.
  """
  from wayjax.devices.sharding import fetch  # imported here: prompts are read without jax
  from wayjax.models import LanguageModel

  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  target = text if isinstance(text, Target) else Target("text", "text", text)
  ids = target_ids(lm, target)
  if not len(ids):
    raise WayjaxError(f"target '{target.name}' has no tokens: give it some text")
  return SoftPrompt(fetch(lm.table_VxD)[ids], lm.name, target, {"text": target.text})


def load_prompt(
  path: str | Path, *, model: str | None = None, tensor: str | None = None
) -> SoftPrompt:
  """Reads a soft prompt from a safetensors file or a PEFT prompt-tuning folder.

  Args:
    path: a `.safetensors` file, or a folder with PEFT's `adapter_config.json` and
      `adapter_model.safetensors`.
    model: the model that a file's prompt belongs to; a PEFT folder names its own.
    tensor: the tensor's name, where a file holds several.

  Raises:
    WayjaxError: there is no such file, it is not a soft prompt of a causal language model, or it
      holds numbers that are not finite.
  """
  path = Path(path)
  if is_folder(path):
    return _read_peft(path)
  if not is_file(path):
    raise WayjaxError(
      f"there is no soft prompt at {path}: give a safetensors file or a PEFT folder"
    )
  if model is None:
    raise WayjaxError(f"{path} does not name the model that its prompt belongs to: give model=")
  vectors_PxD, name = _read_tensor(path, tensor)
  return SoftPrompt(vectors_PxD, model, origin={"file": str(path), "tensor": name})


def _read_peft(folder: Path) -> SoftPrompt:
  path = folder / PEFT_CONFIG
  if not path.exists():
    raise WayjaxError(
      f"{folder} is not a PEFT folder: it has no {PEFT_CONFIG} (for a run folder, use read_run)"
    )
  try:
    config = json.loads(read_text(path, MIB))
  except (ValueError, RecursionError) as error:
    raise WayjaxError(f"{path} cannot be read as JSON: {reason(error)}") from error
  if not isinstance(config, dict):
    raise WayjaxError(f"{path} does not contain a JSON object")
  wanted = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM"}
  for name, value in wanted.items():
    if config.get(name) != value:
      raise WayjaxError(
        f"{path} sets {name} to {config.get(name)!r}: wayjax reads {value} only, soft prompts of "
        "causal language models"
      )
  if not is_file(folder / PEFT_WEIGHTS):
    raise WayjaxError(
      f"{folder} has no {PEFT_WEIGHTS}: wayjax does not open pickle files; save the adapter with "
      "PEFT's save_pretrained"
    )
  vectors_PxD, _ = _read_tensor(folder / PEFT_WEIGHTS, PEFT_TENSOR)
  model = config.get("base_model_name_or_path")
  if not isinstance(model, str) or not model:
    raise WayjaxError(f"{path} names no base_model_name_or_path, the model the prompt belongs to")
  return SoftPrompt(vectors_PxD, model, origin={"folder": str(folder), **config})


def _read_tensor(path: Path, name: str | None) -> tuple[np.ndarray, str]:
  """The matrix of that name, or the only one in the file; and its name."""
  try:
    with safe_open(path, framework="numpy") as file:
      names = sorted(file.keys())
      if name is None and len(names) != 1:
        raise WayjaxError(
          f"{path} holds {len(names)} tensors ({', '.join(names[:3])}): name the one that is the "
          "prompt"
        )
      name = name or names[0]
      if name not in names:
        raise WayjaxError(f"{path} has no tensor '{name}': it holds {', '.join(names[:3])}")
      found = file.get_tensor(name)
  except (SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
    raise WayjaxError(f"{path} cannot be read as safetensors: {reason(error)}") from error
  if found.ndim != 2 or 0 in found.shape or found.dtype not in _FLOATS:
    raise WayjaxError(
      f"{path} holds '{name}' as {found.dtype} {found.shape}, which is not a soft prompt"
    )
  found = found.astype(np.float32)
  if not np.isfinite(found).all():
    raise WayjaxError(f"{path} holds '{name}' with numbers that are not finite")
  return found, name
