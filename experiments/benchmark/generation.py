"""Generating text after many soft prompts: wayjax beside Hugging Face PEFT at its best.

PEFT takes one prompt a batch, so the prompts are adapters of one model that take turns, each with
all of its inputs in one batch; wayjax takes all prompts with all inputs at once. PEFT is measured
twice: by its own `generate`, and at its best, where its prompts are handed to the base model's. All
are greedy, in float32, and go on to the last token.
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
OWN = "PEFT's generate"
BEST = "PEFT's prompts, the base model's generate"
OWN_PROMPTS = 2  # are enough for its rate, as prompts take turns


class _Wayjax:
  def __init__(self, lm: LanguageModel, prompts: list[SoftPrompt], inputs, new: int):
    self._generator = Generator(lm, max_new_tokens=new)
    self._prompts, self._inputs = prompts, inputs

  def generate(self) -> np.ndarray:
    """New tokens, (M, N, K)."""
    return np.array(self._generator(self._prompts, self._inputs))


class _Peft:
  """PEFT at its best."""

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
    found = []
    for name in self._names:
      self._model.set_adapter(name)
      found.append(self._go_on(max_new_tokens=self._new, do_sample=False, pad_token_id=0).numpy())
    return np.array(found)[..., -self._new :]

  def _go_on(self, **options) -> torch.Tensor:
    """What the adapter in use goes on with."""
    x_NxTxD = self._model.get_input_embeddings()(self._ids_NxT)
    soft_NxPxD = self._model.get_prompt(batch_size=len(x_NxTxD))
    x_NxSxD = torch.cat([soft_NxPxD, x_NxTxD], dim=1)
    mask_NxS = torch.ones(x_NxSxD.shape[:2], dtype=torch.int64)
    return self._model.get_base_model().generate(
      inputs_embeds=x_NxSxD, attention_mask=mask_NxS, **options
    )


class _PeftsOwn(_Peft):
  """PEFT as it is documented."""

  def _go_on(self, **options) -> torch.Tensor:
    mask_NxT = torch.ones_like(self._ids_NxT)
    return self._model.generate(input_ids=self._ids_NxT, attention_mask=mask_NxT, **options)


def measure(
  folder, *, prompts: int = PROMPTS, new: int = NEW_TOKENS, turns: int = TURNS, inputs=INPUTS
) -> dict[str, dict]:
  """Times all on a GPT-2 of random weights.

  Args:
    folder: the model, in Hugging Face's layout.
    prompts: M.
    new: tokens generated after each input.
    turns: how often each is timed; they take turns, so that both meet the same machine.
    inputs: inputs of each prompt, for each measurement.

  Returns:
    By inputs of each prompt: `tokens_per_second` of all (medians), wayjax's `ratio` to each, its
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
    contenders = {
      "wayjax": _Wayjax(lm, soft, texts, new),
      OWN: _PeftsOwn(folder, soft[:OWN_PROMPTS], texts, new),
      BEST: _Peft(folder, soft, texts, new),
    }
    first, seconds = {}, {name: [] for name in contenders}
    for turn in range(turns + 1):  # the first warms up
      for name, contender in contenders.items():
        started = time.perf_counter()
        ids_MxNxK = contender.generate()
        spent = time.perf_counter() - started
        first.setdefault(name, (ids_MxNxK, spent))
        seconds[name] += [spent] * (turn > 0)
    ours, ours_first = first.pop("wayjax")
    shapes = {
      ids_MxNxK.shape[1:] for ids_MxNxK in (ours, *(theirs for theirs, _ in first.values()))
    }
    if shapes != {(count, new)}:
      raise WayjaxError("a sequence ended before its last token: change the seed of the weights")
    sizes = {"wayjax": ours.size} | {name: ids_MxNxK.size for name, (ids_MxNxK, _) in first.items()}
    rates = {name: sizes[name] / float(np.median(spent)) for name, spent in seconds.items()}
    found[f"{count} inputs a prompt"] = {
      "tokens_per_second": rates,
      "ratio": {name: rates["wayjax"] / rates[name] for name in first},
      "compile_seconds": ours_first - float(np.median(seconds["wayjax"])),
      "share_of_equal_tokens": {
        name: float(np.mean(ours[: len(theirs)] == theirs)) for name, (theirs, _) in first.items()
      },
    }
    jax.clear_caches()
  return found
