"""A folder with one safetensors file, which `wayjax.load_prompt` reads."""

import json

import numpy as np
from safetensors.numpy import save

from wayjax.export.source import Source
from wayjax.prompt_files import PROMPT_FILE
from wayjax.prompt_files.metadata import to_metadata

LOADED_BY = "wayjax"
_TENSOR = "prompt"
_USE = """\
import wayjax

prompt = wayjax.load_prompt("THIS_FOLDER")
lm = wayjax.load_lm({model})
print([reading.text for reading in wayjax.READERS["nearest"](lm, [prompt])])
"""


def notes(source: Source, folded: bool) -> list[str]:
  """What must be known of a folder of this format: nothing, its file says all of it."""
  return []


def layout(source: Source, folded: bool) -> str:
  """Where the prompt stands, in a line of code."""
  before = "[text before]" if source.prompt.before else ""
  after = "[text after]" if source.prompt.after else ""
  return f"{before}[soft prompt]{after}[input]"


def files(source: Source, vectors_PxD: np.ndarray, record: dict) -> dict[str, bytes]:
  """The files by name."""
  return {PROMPT_FILE: save({_TENSOR: np.ascontiguousarray(vectors_PxD)}, to_metadata(record))}


def use(source: Source, size: int) -> tuple[str, str]:
  """How the folder is used: words, and a program."""
  words = f"The file `{PROMPT_FILE}` holds one tensor, `{_TENSOR}`. With wayjax:"
  return words, _USE.format(model=json.dumps(source.prompt.model))
