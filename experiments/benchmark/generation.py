"""Generating text after many soft prompts: wayjax beside Hugging Face PEFT at its best.

PEFT takes one prompt a batch, so the prompts are adapters of one model that take turns, each with
all of its inputs in one batch, through the model's own `generate`; wayjax takes all prompts with
all inputs at once. Both are greedy, in float32, and go on to the last token.
"""

import time

import jax
import numpy as np
import torch
from peft import PromptTuningConfig, TaskType, get_peft_model
from transformers import GPT2LMHeadModel

from experiments.benchmark.work import PROMPT_TOKENS, SEED
from wayjax.errors import WayjaxError
from wayjax.generation.generator import Generator
from wayjax.models import LanguageModel, load_lm
from wayjax.prompts import SoftPrompt

PROMPTS = 16
INPUTS = (1, 4)  # inputs of each prompt
INPUT_TOKENS = 16
NEW_TOKENS = 32
TURNS = 3


class _Wayjax:
  def __init__(self, lm: LanguageModel, prompts: list[SoftPrompt], inputs, new: int):
    self._generator = Generator(lm, max_new_tokens=new)
    self._prompts, self._inputs = prompts, inputs

  def generate(self) -> np.ndarray:
    """New tokens, (M, N, K)."""
    return np.array(self._generator(self._prompts, self._inputs))


class _Peft:
  def __init__(self, folder, prompts: list[SoftPrompt], inputs, new: int):
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=len(prompts[0]))
    self._names = [f"prompt{number}" for number in range(len(prompts))]
    self._model = get_peft_model(model, config, self._names[0])
    for name, prompt in zip(self._names, prompts):
      if name != self._names[0]:
        self._model.add_adapter(name, config)
      weight = self._model.prompt_encoder[name].embedding.weight
      weight.data.copy_(torch.from_numpy(prompt.vectors_PxD.copy()))
    self._ids_NxT = torch.from_numpy(np.stack(inputs).astype(np.int64))
    self._new = new

  @torch.inference_mode()
  def generate(self) -> np.ndarray:
    """New tokens, (M, N, K)."""
    x_NxTxD = self._model.get_input_embeddings()(self._ids_NxT)
    found = []
    for name in self._names:
      self._model.set_adapter(name)
      soft_NxPxD = self._model.get_prompt(batch_size=len(x_NxTxD))
      x_NxSxD = torch.cat([soft_NxPxD, x_NxTxD], dim=1)
      # Not PEFT's own `generate`, whose tokens of transformers 5.24 are others than the model's.
      ids_NxK = self._model.get_base_model().generate(
        inputs_embeds=x_NxSxD,
        attention_mask=torch.ones(x_NxSxD.shape[:2], dtype=torch.int64),
        max_new_tokens=self._new,
        do_sample=False,
        pad_token_id=0,
      )
      found.append(ids_NxK.numpy())
    return np.array(found)


def measure(
  folder, *, prompts: int = PROMPTS, new: int = NEW_TOKENS, turns: int = TURNS, inputs=INPUTS
) -> dict[str, dict]:
  """Times both on a GPT-2 of random weights.

  Args:
    folder: the model, in Hugging Face's layout.
    prompts: M.
    new: tokens generated after each input.
    turns: how often each is timed; they take turns, so that both meet the same machine.
    inputs: inputs of each prompt, for each measurement.

  Returns:
    By inputs of each prompt: `tokens_per_second` of both (medians), their `ratio`, wayjax's
    `compile_seconds`, and the `share_of_equal_tokens`.

  Raises:
    WayjaxError: a sequence of random weights ended before its last token.
  """
  lm = load_lm(str(folder), precision="float32")
  rng = np.random.default_rng(SEED)
  table_VxD = np.asarray(lm.table_VxD)
  soft = [
    SoftPrompt(table_VxD[rng.choice(len(table_VxD) - 1, PROMPT_TOKENS)], lm.name)
    for _ in range(prompts)
  ]
  found = {}
  for count in inputs:
    texts = list(rng.integers(len(table_VxD) - 1, size=(count, INPUT_TOKENS)).astype(np.int32))
    contenders = {"wayjax": _Wayjax(lm, soft, texts, new), "PEFT": _Peft(folder, soft, texts, new)}
    first, seconds = {}, {name: [] for name in contenders}
    for turn in range(turns + 1):  # the first warms up
      for name, contender in contenders.items():
        started = time.perf_counter()
        ids_MxNxK = contender.generate()
        spent = time.perf_counter() - started
        first.setdefault(name, (ids_MxNxK, spent))
        seconds[name] += [spent] * (turn > 0)
    tokens = prompts * count * new
    (ours, ours_first), (theirs, _) = first["wayjax"], first["PEFT"]
    if ours.size != tokens or theirs.size != tokens:
      raise WayjaxError("a sequence ended before its last token: change the seed of the weights")
    rates = {name: tokens / float(np.median(spent)) for name, spent in seconds.items()}
    found[f"{count} inputs a prompt"] = {
      "tokens_per_second": rates,
      "ratio": rates["wayjax"] / rates["PEFT"],
      "compile_seconds": ours_first - float(np.median(seconds["wayjax"])),
      "share_of_equal_tokens": float(np.mean(ours == theirs)),
    }
    jax.clear_caches()
  return found
