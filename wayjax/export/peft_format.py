"""A folder that Hugging Face's PEFT loads as it is."""

import json

import numpy as np
from safetensors.numpy import save

from wayjax.errors import WayjaxError
from wayjax.export.source import Source
from wayjax.prompt_files.metadata import to_metadata
from wayjax.prompt_files.peft_folder import CONFIG, TASK, TENSOR, TYPE, WEIGHTS

LOADED_BY = "peft"
_VERSION = "0.21.2"  # of PEFT, whose keys these are
_USE = """\
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {base}
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), "THIS_FOLDER")

parts = [{after}, {input}, {template}]  # each is tokenised by itself, as in tuning
ids = [i for part in parts for i in tokenizer(part, add_special_tokens=False)["input_ids"]]
print(tokenizer.decode(model.generate(input_ids=torch.tensor([ids]), max_new_tokens=5)[0]))
"""


def notes(source: Source, folded: bool) -> list[str]:
  """What must be known of a folder of this format.

  Raises:
    WayjaxError: the layout of PEFT has no place for text before a prompt.
  """
  prompt = source.prompt
  if prompt.before and not folded:
    raise WayjaxError(
      f"{source.where} was tuned after the text '{prompt.before}', and PEFT puts nothing before "
      "its virtual tokens: add --fold-frame, which writes that text as further virtual tokens"
    )
  found = []
  if prompt.after and not folded:
    found.append(f"the text '{prompt.after}' must be put before every input")
  return [
    *found,
    "inputs must be tokenised with add_special_tokens=False: a beginning of sequence would stand "
    "between the prompt and the input",
  ]


def layout(source: Source, folded: bool) -> str:
  """Where the prompt stands, in a line of code."""
  if folded and source.is_framed():
    return "[virtual tokens: text before, soft prompt, text after][input]"
  after = "[text after]" if source.prompt.after else ""
  return f"[virtual tokens: soft prompt]{after}[input]"


def files(source: Source, vectors_PxD: np.ndarray, record: dict) -> dict[str, bytes]:
  """The files by name."""
  size, width = vectors_PxD.shape
  config = {
    "auto_mapping": None,
    "base_model_name_or_path": source.prompt.model,
    "inference_mode": True,
    "modules_to_save": None,
    "num_attention_heads": None,  # PEFT takes these two from the model
    "num_layers": None,
    "num_transformer_submodules": 1,
    "num_virtual_tokens": size,
    "peft_type": TYPE,
    "peft_version": _VERSION,
    "prompt_tuning_init": "RANDOM",
    "prompt_tuning_init_text": None,
    "revision": source.model_revision,
    "task_type": TASK,
    "token_dim": width,
    "tokenizer_kwargs": None,
    "tokenizer_name_or_path": None,
  }
  tensor = {TENSOR: np.ascontiguousarray(vectors_PxD)}
  return {
    CONFIG: (json.dumps(config, indent=2) + "\n").encode(),
    WEIGHTS: save(tensor, {"format": "pt", **to_metadata(record)}),
  }


def use(source: Source, size: int) -> tuple[str, str]:
  """How the folder is used: words, and a program."""
  after = "" if size > len(source.prompt) else source.prompt.after or ""
  values = {"base": source.prompt.model, "after": after, "input": source.input()}
  values["template"] = source.template()
  program = _USE.format(**{name: json.dumps(value) for name, value in values.items()})
  return "With `pip install peft transformers torch`:", program
