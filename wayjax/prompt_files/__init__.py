"""Soft prompts that are stored: in run folders, files of tensors and PEFT folders."""

import dataclasses
import difflib
import re
from pathlib import Path

import numpy as np

from wayjax import hub
from wayjax.errors import WayjaxError
from wayjax.files import exists, is_file, is_folder
from wayjax.options import require_kind
from wayjax.prompt_files import peft_folder, tensors
from wayjax.prompt_files.belonging import choose_model, require_width
from wayjax.prompt_files.metadata import read_metadata
from wayjax.prompts import SoftPrompt
from wayjax.results.folder import CONFIG, Run, read_run
from wayjax.results.storage import GCS

__all__ = ["PROMPT_FILE", "find_key", "is_run", "load_prompt", "require_finite"]

PROMPT_FILE = "prompt.safetensors"  # what a folder of `wayjax.save_prompt` holds
_RUN, _FILE, _PEFT, _HUB = (
  "run folders",
  "files of tensors",
  "PEFT folders",
  "PEFT folders on the Hub",
)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_SHOWN = 3  # keys of a run folder in a message


def load_prompt(
  path: str | Path,
  *,
  key: str | None = None,
  tensor: str | None = None,
  model=None,
  revision: str | None = None,
) -> SoftPrompt:
  """Reads a soft prompt from wherever one is stored.

  Args:
    path: a run folder, also gs://BUCKET/FOLDER; a folder that PEFT's prompt tuning wrote, or its
      name on the Hugging Face Hub; a folder of `save_prompt`; a `.safetensors` file, or a `.npy`
      file without Python objects.
    key: of a run folder, the prompt's key (`prompt_key` of a row); None means its only prompt.
    tensor: of a safetensors file, the tensor's name; None means its only tensor.
    model: the model that the prompt belongs to, by its name or as `load_lm` returns it; None means
      the one that the folder or file names. A loaded one is compared by its weights and width.
    revision: of a PEFT folder on the Hub, its branch, tag or commit; None means `main`.

  Returns:
    The prompt, with what it reads as and the text around it where those are recorded. Its vectors,
    (P, D), are in the space that enters the model's first layer, in float32.

  Raises:
    WayjaxError: there is no prompt, or several and none is named; it is of another model, of an
      encoder–decoder model or of another kind of adapter; it is in a pickle file, which is never
      opened; or it is damaged, or holds numbers that are not finite.
  """
  require_kind("path", path, str | Path, "a path")
  path = path if str(path).startswith(GCS) else Path(path)
  kind = _kind_of(path, key)
  for name, value, home in (
    ("key", key, _RUN),
    ("tensor", tensor, _FILE),
    ("revision", revision, _HUB),
  ):
    if value is None:
      continue
    require_kind(name, value, str, "a text")
    if kind != home:
      raise WayjaxError(f"{name} belongs to {home}, and {path} is none: leave it out")
  if kind == _RUN:
    prompt = _read_run_prompt(path, key, model)
  elif kind == _FILE:
    prompt = _read_file(path / PROMPT_FILE if is_folder(path) else path, tensor, model)
  else:
    folder = path
    if kind == _HUB:
      wanted = [*peft_folder.FILES, "README.md"]
      folder = hub.snapshot(str(path), "model", revision, wanted, peft_folder.is_complete)
    prompt = peft_folder.read(folder, model)
  return require_width(require_finite(prompt, str(path)), model)


def is_run(path: str | Path) -> bool:
  """Whether a path is that of a run folder, or of what can be nothing else."""
  if str(path).startswith(GCS):
    return True
  return is_folder(path) and _kind_of(Path(path), None) == _RUN


def _kind_of(path: Path | str, key: str | None) -> str:
  if not isinstance(path, Path):
    return _RUN
  if is_folder(path):
    for name, kind in ((peft_folder.CONFIG, _PEFT), (CONFIG, _RUN), (PROMPT_FILE, _FILE)):
      if exists(path / name):
        return kind
    raise WayjaxError(
      f"{path} holds no soft prompt: it has no {CONFIG} of a run, no {peft_folder.CONFIG} of PEFT "
      f"and no {PROMPT_FILE}"
    )
  if is_file(path):
    return _FILE
  tensors.refuse_pickle(path)
  if key is None and _HUB_ID.fullmatch(str(path)) and path.suffix not in tensors.SUFFIXES:
    return _HUB
  raise WayjaxError(
    f"there is no soft prompt at {path}: give a run folder, a PEFT folder or its name on the Hub, "
    "or a .safetensors or .npy file"
  )


def _read_run_prompt(path: Path | str, key: str | None, model) -> SoftPrompt:
  run = read_run(path)
  prompt = run.prompt(find_key(run, key))
  digest = (run.config.get("resolved") or {}).get("weights_sha256")
  name = choose_model(str(path), prompt.model, digest, model)
  return dataclasses.replace(prompt, model=name)


def find_key(run: Run, key: str | None) -> str:
  """The key of a run's prompt, or of its only one.

  Raises:
    WayjaxError: there is no such prompt, or there are several and none is named.
  """
  keys = sorted(run.prompt_keys())
  if not keys:
    raise WayjaxError(f"{run.path} holds no prompt yet: none of its members has finished")
  if key is None and len(keys) == 1:
    return keys[0]
  if key is None:
    raise WayjaxError(
      f"{run.path} holds {len(keys)} prompts: give the key of one, such as {_some(keys)}"
    )
  if key not in keys:
    near = difflib.get_close_matches(key, keys, _SHOWN, cutoff=0) or keys
    raise WayjaxError(
      f"{run.path} has no prompt '{key}': those with the nearest keys are {_some(near)}"
    )
  return key


def _some(keys: list[str]) -> str:
  return ", ".join(f"'{key}'" for key in keys[:_SHOWN])


def _read_file(path: Path, tensor: str | None, model) -> SoftPrompt:
  vectors_PxD, name, metadata = tensors.read(path, tensor)
  stored = read_metadata(metadata, str(path))
  origin = {"file": str(path), "tensor": name} | (
    {"wayjax": stored.record} if stored.record else {}
  )
  return SoftPrompt(
    vectors_PxD,
    choose_model(str(path), stored.model, stored.weights_sha256, model),
    stored.reads_as,
    origin,
    before=stored.before,
    after=stored.after,
    reply=stored.reply,
  )


def require_finite(prompt: SoftPrompt, where: str) -> SoftPrompt:
  """Returns a prompt of finite numbers.

  Raises:
    WayjaxError: it has others, as one that diverged.
  """
  if not np.isfinite(prompt.vectors_PxD).all():
    raise WayjaxError(
      f"the prompt in {where} has numbers that are not finite, as after a training that diverged: "
      "use another prompt"
    )
  return prompt
