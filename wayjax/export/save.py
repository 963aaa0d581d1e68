"""`wayjax.save_prompt`, and what it shares with the command."""

from pathlib import Path

from wayjax.data.tasks import Task
from wayjax.errors import WayjaxError
from wayjax.export import write
from wayjax.export.content import make_folders
from wayjax.export.request import EXACT, Request
from wayjax.export.source import Source
from wayjax.models import LanguageModel, load_lm
from wayjax.options import require_kind
from wayjax.prompt_files import require_finite
from wayjax.prompts import SoftPrompt


def save_prompt(
  prompt: SoftPrompt,
  folder: str | Path,
  *,
  format: str = "peft",
  dtype: str = EXACT,
  lm: LanguageModel | None = None,
  task: Task | None = None,
  text: str | None = None,
  fold_frame: bool = False,
) -> list[str]:
  """Writes a soft prompt to a folder, whole or not at all, with a README that says how to use it.

  Args:
    prompt: the prompt.
    folder: the folder, new or empty.
    format: `peft`, which Hugging Face's PEFT loads (`prompt_embeddings`, (P, D)); `safetensors`,
      one tensor `prompt`, (P, D); or `vllm`, one tensor `prompt_embeds`, (S, D), of the prompt, the
      text around it and an input, as vLLM takes it in a request.
    dtype: the type of the vectors: `float32`, which keeps every bit, `float16` or `bfloat16`.
    lm: the model that the prompt belongs to, as `load_lm` returns it: needed for another type than
      float32, for `vllm`, and for `fold_frame` where there is text around the prompt.
    task: the task that the prompt is for; of `vllm`, its template follows the input.
    text: of `vllm`, the input.
    fold_frame: of `peft`, whether the text around the prompt is written as further virtual tokens.

  Returns:
    What whoever uses the folder must know, as sentences; the README has them too.

  Raises:
    WayjaxError: the folder is not empty, the prompt does not fit the model, the format or the type,
      or the model is needed and not given.
  """
  require_kind("prompt", prompt, SoftPrompt, "a SoftPrompt")
  require_kind("folder", folder, str | Path, "a path")
  if task is not None:
    require_kind("task", task, Task, "what get_task returns")
  how = Request(format, dtype, text, fold_frame)
  source = Source(prompt=require_finite(prompt, "hand"), task=task)
  if lm is not None:
    require_kind("lm", lm, LanguageModel, "what load_lm returns")
    source.require_model(lm)
  elif why := how.needs_model([source]):
    raise WayjaxError(f"{why} needs the prompt's model: give lm=load_lm(...)")
  folders, notes = make_folders({"": source}, how, lm)
  write.write_whole(str(folder), folders)
  return notes


def load_model(source: Source, why: str) -> LanguageModel:
  """The model that a prompt names, for an option that needs it.

  Raises:
    WayjaxError: it cannot be loaded.
  """
  try:
    return load_lm(source.prompt.model, revision=source.model_revision, precision=EXACT)
  except WayjaxError as error:
    raise WayjaxError(
      f"{why} needs the model that the prompt was tuned on ({error}): say where it is with --model"
    ) from error
