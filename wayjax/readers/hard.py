"""Soft to hard: the text that does most nearly what a soft prompt does.

`x* = argmin_x mean over rows d of KL(P(. | p, d) || P(. | x, d))`, over texts x of a number of
tokens, by greedy coordinate gradient. Letters: P positions, V vocabulary.
"""

import dataclasses

import numpy as np

from wayjax.data.encoding import target_ids, token_ids
from wayjax.data.packing import row_multiple
from wayjax.errors import WayjaxError
from wayjax.metrics import finite
from wayjax.models import LanguageModel
from wayjax.options import require_choice, require_kind
from wayjax.prompts import SoftPrompt, check_prompts
from wayjax.readers.coordinate_gradient import as_text, search, survives, whole_tokens
from wayjax.readers.divergence import (
  CLASSES,
  VOCABULARY,
  Divergence,
  aims,
  drawn_rows,
  scored_rows,
)
from wayjax.readers.nearest import project
from wayjax.readers.reading import DEFAULT, Context, Reading, f1_with_target

NEAREST, RANDOM, TEXT = "nearest", "random", "text"
ENOUGH = 1e-6  # nats, about what float32 tells from 0
_TRIES = 1000  # draws for tokens that can stand after those before them


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class HardReading(Reading):
  """The text that was found for one prompt.

  Attributes:
    ids_P: its tokens.
    kl_start: KL(prompt || text at the start), the mean over rows, nats.
    kl_end: KL(prompt || text), likewise.
    steps: how many steps were made; fewer than asked for where the KL became 0.
  """

  ids_P: np.ndarray
  kl_start: float
  kl_end: float
  steps: int

  def to_json(self) -> dict:
    """As a row holds it under `readings`."""
    measured = {"kl_start": finite(self.kl_start), "kl_end": finite(self.kl_end)}
    return {**super().to_json(), **measured, "steps": self.steps}


def read(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context = DEFAULT,
  *,
  over: str = CLASSES,
  start: str = NEAREST,
  rows: int = 8,
  tokens: int | None = None,
  steps: int = 250,
  width: int = 512,
  top_k: int = 256,
) -> list[HardReading]:
  """Searches for the text that does what a prompt does, all prompts in one program.

  The search is greedy coordinate gradient (Zou et al., 2023) with nanoGCG's defaults. A text counts
  only if it is encoded as the very tokens that were found.

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths.
    context: its examples are what prompts and texts are compared on, in the frame that these were
      encoded with; its seed decides which are drawn, and the replacements.
    over: `classes` compares the classes' probabilities, softmax of minus the mean log-loss of each
      continuation, as accuracy does; `vocabulary` compares the next token's at every position at
      which a token of a continuation is predicted, the mean over an example's positions.
    start: `nearest` starts from d-proj, `random` from drawn tokens, `text` from the text that the
      prompt is to read as. Tokens that would not be read back from a text are replaced.
    rows: how many examples are drawn.
    tokens: how many tokens the texts have; None means as many as the prompt.
    steps: the most steps.
    width: how many replacements of one token are tried in a step.
    top_k: how many tokens, those of the steepest gradient, each position draws from.

  Returns:
    A reading of each prompt.

  Raises:
    WayjaxError: no examples or not of this kind, a wrong option, a prompt that does not fit the
      model, or does not with the longest example, or one that is to start from its text and has
      none.
  """
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  check_prompts(prompts, lm.name, lm.width)
  require_kind("context", context, Context, "a Context")
  require_choice("over", over, (CLASSES, VOCABULARY))
  require_choice("start", start, (NEAREST, RANDOM, TEXT))
  numbers = {"rows": rows, "steps": steps, "width": width, "top_k": top_k}
  for name, value in numbers.items() if tokens is None else {**numbers, "tokens": tokens}.items():
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
      raise WayjaxError(f"{name} must be a whole number of at least 1, not {value!r}")
  examples = context.require("hard", "examples", "a task's rows, to compare texts on: examples")
  examples.require_fit(lm)
  if over == CLASSES and examples.answers is not None:
    raise WayjaxError(
      "the reader hard compares classes, and this task has free-text answers: over='vocabulary' "
      "compares the next tokens"
    )
  if not prompts:
    return []
  longest = max(tokens or 0, *map(len, prompts))
  if longest + examples.longest() > lm.max_positions:
    raise WayjaxError(
      f"{longest} tokens and an example of {examples.longest()} exceed the model's {lm.room}"
    )
  multiple = row_multiple(lm.layout.platform)
  scored = scored_rows(drawn_rows(examples, rows, context.seed), multiple)
  divergence = Divergence(over)
  found = search(
    lm,
    divergence,
    scored,
    aims(lm, divergence, scored, prompts),
    starts(lm, prompts, start, tokens, context.seed),
    steps=steps,
    width=width,
    top_k=top_k,
    enough=ENOUGH,
    seed=context.seed,
  )
  readings = []
  for prompt, best in zip(prompts, found, strict=True):
    text = as_text(lm.tokenizer, best.ids_P)
    readings.append(
      HardReading(
        text=text,
        **f1_with_target(text, prompt.reads_as, lm.tokenizer),
        ids_P=best.ids_P,
        kl_start=max(best.start, 0.0),  # it may round to less
        kl_end=max(best.loss, 0.0),
        steps=best.steps,
      )
    )
  return readings


def starts(lm: LanguageModel, prompts, start: str, tokens: int | None, seed: int) -> list:
  """The tokens that the search of each prompt starts from."""
  if start == NEAREST:
    texts = [as_text(lm.tokenizer, ids_P) for ids_P in project(lm, prompts, "euclidean")]
    wanted = token_ids(lm.tokenizer, texts)
  elif start == TEXT:
    if any(prompt.reads_as is None for prompt in prompts):
      raise WayjaxError(
        "a prompt is not to read as any text, so its search cannot start from that: give "
        "start='nearest' or start='random'"
      )
    wanted = [target_ids(lm, prompt.reads_as) for prompt in prompts]
  else:
    wanted = [[] for _ in prompts]
  allowed_V = whole_tokens(lm)
  return [
    _surviving(lm, ids, tokens or len(prompt), allowed_V, seed)
    for ids, prompt in zip(wanted, prompts, strict=True)
  ]


def _surviving(lm: LanguageModel, wanted, length: int, allowed_V, seed: int) -> np.ndarray:
  """So many tokens that survive being decoded and encoded again.

  Args:
    lm: the frozen language model.
    wanted: the tokens that are wanted, of any number; those that cannot stand after the ones before
      them are left out, and drawn ones fill the rest.
    length: how many tokens there are to be.
    allowed_V: the tokens that are drawn.
    seed: of the draws.

  Returns:
    (P,) token ids, int32.

  Raises:
    WayjaxError: there are not so many.
  """
  wanted = [int(i) for i in wanted]
  if len(wanted) >= length and survives(lm.tokenizer, wanted[:length]):
    return np.array(wanted[:length], np.int32)
  drawn = np.random.default_rng(seed).choice(np.flatnonzero(allowed_V), length + _TRIES)
  kept = []
  for token in [*wanted, *drawn.tolist()]:
    if survives(lm.tokenizer, [*kept, token]):
      kept.append(token)
    if len(kept) == length:
      return np.array(kept, np.int32)
  raise WayjaxError(
    f"the tokens of {lm.name} are not the same when they are decoded and encoded again, so that no "
    f"text of {length} tokens can be searched"
  )
