"""`wayjax.generate`: what a model goes on with after soft prompts and texts, as text."""

import dataclasses

import numpy as np

from wayjax.data.encoding import token_ids
from wayjax.data.frame import Frame, make_frame
from wayjax.errors import WayjaxError
from wayjax.generation.generator import Generator
from wayjax.generation.sampling import Sampling
from wayjax.models import LanguageModel
from wayjax.options import require_kind
from wayjax.prompts import SoftPrompt
from wayjax.visible import is_unicode

END, STOP, LENGTH = "end", "stop", "length"


@dataclasses.dataclass(frozen=True, eq=False)
class Generation:
  """What the model went on with.

  Attributes:
    text: the text, up to the stop text or the end of sequence.
    ids: all generated token ids, (N,), int32, also those of what it stopped at.
    stopped: what it stopped at: `end` of sequence, `stop` text, or `length`, the most new tokens.
  """

  text: str
  ids: np.ndarray
  stopped: str


def generate(
  lm: LanguageModel,
  prompts: list[SoftPrompt | None],
  inputs: list[str],
  *,
  max_new_tokens: int = 20,
  stop: tuple[str, ...] = (),
  temperature: float = 0.0,
  top_k: int | None = None,
  top_p: float | None = None,
  seed: int = 0,
  before: str | None = None,
  after: str | None = None,
  chat: bool = False,
  system: str | None = None,
) -> list[list[Generation]]:
  """Lets a model go on with `[before][soft prompt][after][input]`, every prompt with every input.

  In a chat, or after a prompt that was tuned in one, what ends the user's turn follows the input.

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths; None, or no prompt in the list, means none there.
    inputs: texts, which may be empty where something precedes them.
    max_new_tokens: the most tokens generated after each.
    stop: texts at which a sequence ends; they are not part of its text.
    temperature: what logits are divided by; 0 means the most probable token.
    top_k: draw among this many most probable tokens only; None means all.
    top_p: then among the fewest whose probabilities add up to this; None means all.
    seed: of the draws, which depend on it, the numbers of prompt and input, and nothing else.
    before: the text before the prompts, special tokens by their names; None means what a prompt was
      tuned after, or else the beginning of sequence where the tokenizer adds one by itself.
    after: the text between prompt and input; None means what a prompt was tuned with, or nothing.
    chat: whether prompt and input are the user's turn of the tokenizer's chat template, however the
      prompts were tuned.
    system: in a chat, the system's text; None leaves it to the template.

  Returns:
    For each prompt (without prompts, for none), for each input, what was generated.

  Raises:
    WayjaxError: a wrong argument, a prompt of another width than the model, a token without an
      embedding, or a sequence that is empty or too long for the model.
  """
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  require_kind("prompts", prompts, list | tuple, "a list of SoftPrompts")
  require_kind("inputs", inputs, list | tuple, "a list of texts")
  stop = [stop] if isinstance(stop, str) else stop
  require_kind("stop", stop, list | tuple, "a list of texts")
  for name, texts in (("inputs", inputs), ("stop", stop)):
    for text in texts:
      require_kind(f"each of {name}", text, str, "a text")
      if not is_unicode(text):
        raise WayjaxError(f"one of {name} is not valid Unicode, '{text}': give another")
  if "" in stop:
    raise WayjaxError("a stop text is empty: give one that can be found")
  for prompt in prompts:
    require_kind("each of prompts", prompt, SoftPrompt | None, "a SoftPrompt or None")
  frames = [
    frame_of(lm, None if chat else prompt, before, after, chat=chat, system=system)
    for prompt in prompts or [None]
  ]
  generator = Generator(
    lm,
    max_new_tokens=max_new_tokens,
    sampling=Sampling(temperature, top_k, top_p, seed),
    end_ids=tokens_with(lm, stop) if stop else (),
  )
  ids = token_ids(lm.tokenizer, list(inputs)) if inputs else []
  found = generator(prompts, ids, frames)
  return [[_read(lm.tokenizer, ids_N, stop) for ids_N in of_prompt] for of_prompt in found]


def frame_of(lm, prompt: SoftPrompt | None, before=None, after=None, **chat) -> Frame:
  """What stands around a prompt: what is asked for, else what it was tuned in."""
  recorded = (prompt.before, prompt.after, prompt.reply) if prompt else (None, None, None)
  texts = (own if asked is None else asked for asked, own in zip((before, after, None), recorded))
  return make_frame(lm.tokenizer, *texts, **chat)


def tokens_with(lm: LanguageModel, stop: list[str]) -> tuple[int, ...]:
  """The tokens whose own text contains a stop text."""
  never = set(lm.rows_of_no_token)
  ids = [i for i in range(lm.vocab_size) if i not in never]
  texts = lm.tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
  return tuple(i for i, text in zip(ids, texts) if any(part in text for part in stop))


def _read(tokenizer, ids_N: np.ndarray, stop: list[str]) -> Generation:
  """A sequence as text, cut at the first stop text, its ids with the token that completes it."""

  def decode(count: int) -> str:
    return tokenizer.decode(ids_N[:count].tolist(), clean_up_tokenization_spaces=False)

  def found_in(text: str) -> list[int]:
    return [text.index(part) for part in stop if part in text]

  ended = bool(len(ids_N)) and ids_N[-1] == tokenizer.eos_token_id
  text = decode(len(ids_N) - ended)
  if not found_in(text):
    return Generation(text, ids_N, END if ended else LENGTH)
  count = next(n for n in range(1, len(ids_N) + 1) if found_in(decode(n)))
  text = decode(count)
  return Generation(text[: min(found_in(text))], ids_N[:count], STOP)
