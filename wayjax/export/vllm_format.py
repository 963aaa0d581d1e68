"""A folder with the whole input of one request to vLLM, as embeddings."""

import json

import numpy as np
from safetensors.numpy import save

from wayjax.export.source import Source
from wayjax.prompt_files.metadata import to_metadata

LOADED_BY = "vllm"
FILE, TENSOR = "prompt_embeds.safetensors", "prompt_embeds"
_USE = """\
import base64
import io
import json
import urllib.request

import torch
from safetensors import safe_open

with safe_open("prompt_embeds.safetensors", framework="pt") as file:
  embeds = file.get_tensor("prompt_embeds")
buffer = io.BytesIO()
torch.save(embeds, buffer)
body = {{
  "model": {model},
  "prompt_embeds": base64.b64encode(buffer.getvalue()).decode(),
  "max_tokens": 5,
  "temperature": 0,
}}
request = urllib.request.Request(
  "http://localhost:8000/v1/completions",
  json.dumps(body).encode(),
  {{"Content-Type": "application/json"}},
)
print(json.load(urllib.request.urlopen(request))["choices"][0]["text"])
"""


def notes(source: Source, folded: bool) -> list[str]:
  """What must be known of a folder of this format."""
  return [
    "it holds one input, whole: send pure embeddings, because vLLM's cache mixes up requests of "
    "embeddings and token ids"
  ]


def layout(source: Source, folded: bool) -> str:
  """Where the prompt stands, in a line of code."""
  before = "[text before]" if source.prompt.before else ""
  after = "[text after]" if source.prompt.after else ""
  template = "[template up to the label]" if source.task else ""
  return f"{before}[soft prompt]{after}[input]{template}"


def files(source: Source, vectors_SxD: np.ndarray, record: dict) -> dict[str, bytes]:
  """The files by name."""
  return {FILE: save({TENSOR: np.ascontiguousarray(vectors_SxD)}, to_metadata(record))}


def use(source: Source, size: int) -> tuple[str, str]:
  """How the folder is used: words, and a program."""
  words = "Start the server with `--enable-prompt-embeds`, and run this in the folder:"
  return words, _USE.format(model=json.dumps(source.prompt.model))
