"""InSPEcT (Ramati et al., 2024): the model describes a prompt's hidden states after examples.

It is Patchscopes (Ghandeharioun et al., 2024) of soft prompts. Letters: L layers, N of them in the
model, P prompt positions, D width of a prompt, I width between the layers, nearly always D.
"""

import dataclasses
import numbers

import numpy as np

from wayjax.data.encoding import require_embeddings, token_ids
from wayjax.data.frame import Frame, make_frame, own_beginning
from wayjax.errors import WayjaxError
from wayjax.generation.generate import tokens_with
from wayjax.generation.generator import Generator
from wayjax.generation.requests import Patch, Request
from wayjax.models import LanguageModel
from wayjax.options import require_choice, require_kind
from wayjax.prompts import SoftPrompt, check_prompts
from wayjax.readers.reading import DEFAULT, Context, Reading, f1_with_target
from wayjax.readers.states import (
  hidden_states,
  inner_width,
  layer_count,
  prompt_states,
  requests_of,
  spread_layers,
)

# Of tasks that prompts are rarely tuned for: what a model copies is not taken for a reading.
DEFAULT_DESCRIPTIONS = (
  "Translate this sentence from English into French",
  "Add up the numbers and write down their sum",
  "Does the second sentence follow from the first: yes or no",
)
MAX_NEW_TOKENS = 60
EMBEDDINGS, LAYER0 = "embeddings", "layer0"
VARIANTS = (EMBEDDINGS, LAYER0)
_PLACEHOLDER = " x"
_END = "$"
_DELIMITERS = ("\n", "$", "|", ".")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class InspectReading(Reading):
  """What a model says about one prompt's hidden states.

  Its text is that of the pair in the middle of both lists of layers, the lower of two, whatever the
  pairs say.

  Attributes:
    variant: where the prompt entered the source run: `embeddings` or `layer0`.
    pairs: for every pair of layers its `source`, `target` and `text`; targets vary fastest.
  """

  variant: str
  pairs: list[dict]

  @property
  def all_texts(self) -> tuple[str, ...]:
    """Those of all pairs."""
    return tuple(pair["text"] for pair in self.pairs)

  def to_json(self) -> dict:
    """As a row holds it under `readings`."""
    return {**super().to_json(), "variant": self.variant, "pairs": self.pairs}


def read(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context = DEFAULT,
  *,
  sources: list[int] | None = None,
  targets: list[int] | None = None,
  descriptions: tuple[str, ...] = DEFAULT_DESCRIPTIONS,
  variant: str = EMBEDDINGS,
  max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[InspectReading]:
  """Lets a model go on with descriptions of tasks and a prompt's hidden states in the next's place.

  In the source run `[before][soft prompt]` the prompt has the hidden states h_s(p_i) after s
  layers. The target run is `a | b | c | x x x`, with as many placeholders as the prompt has
  vectors, and after t layers h_t(x_i) = h_s(p_i). All pairs (s, t) of all prompts are generated in
  one program, greedily, up to a `$`, and cut as `cut` says.

  Args:
    lm: the frozen language model.
    prompts: soft prompts of any lengths.
    context: its frame stands around the prompts in the source run; before the descriptions stands
      the beginning of sequence, where the tokenizer adds one by itself.
    sources: each s, from 0, the input of the first layer, to N, before the last norm; None means 6
      layers, or as many as there are, evenly spread from 1 to N - 1.
    targets: each t, likewise.
    descriptions: of tasks, to show the form.
    variant: `embeddings`: the prompt enters the source run as embeddings; `layer0`: its vectors
      take the place of the first layer's output over placeholders, as in the released code.
    max_new_tokens: the most tokens generated for a pair.

  Returns:
    A reading of each prompt.

  Raises:
    WayjaxError: a wrong argument, layers that the model does not have, a prompt that does not fit
      the model, or the variant `layer0` of a model whose layers are of another width than its
      embeddings.
  """
  sources, targets = _checked(lm, prompts, sources, targets, variant)
  generator = Generator(lm, max_new_tokens=max_new_tokens, end_ids=tokens_with(lm, [_END]))
  requests = _requests(lm, prompts, context, sources, targets, descriptions, variant)
  texts = iter([cut(_decoded(lm, ids_N)) for ids_N in generator.go_on(requests)])
  settled = _middle(sources), _middle(targets)
  readings = []
  for prompt in prompts:
    pairs = [{"source": s, "target": t, "text": next(texts)} for s in sources for t in targets]
    (text,) = (pair["text"] for pair in pairs if (pair["source"], pair["target"]) == settled)
    found = f1_with_target(text, prompt.reads_as, lm.tokenizer)
    readings.append(InspectReading(text=text, **found, variant=variant, pairs=pairs))
  return readings


def sequences(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context = DEFAULT,
  *,
  sources: list[int] | None = None,
  targets: list[int] | None = None,
  descriptions: tuple[str, ...] = DEFAULT_DESCRIPTIONS,
  variant: str = EMBEDDINGS,
) -> list[Request]:
  """What the model goes on from: of each prompt the sequence of the pair that is its text's.

  For arguments and errors see `read`.
  """
  sources, targets = _checked(lm, prompts, sources, targets, variant)
  middle = [_middle(sources)], [_middle(targets)]
  return _requests(lm, prompts, context, *middle, descriptions, variant)


def cut(text: str) -> str:
  """The description in a text that was generated, as InSPEcT's released code cuts it.

  Args:
    text: what was generated.

  Returns:
    The text up to the first line break, `$`, `|` or `.` that comes after a fifth of it, and from
    behind the last one before that; a text without such an end is left whole. No space is around
    it.
  """
  places = [i for i, character in enumerate(text) if character in _DELIMITERS]
  early = [i for i in places if 5 * i < len(text)]
  if len(early) == len(places):
    return text.strip()
  return text[early[-1] + 1 if early else 0 : places[len(early)]].strip()


def _middle(layers: list[int]) -> int:
  """The one in the middle, or the lower of two."""
  return layers[(len(layers) - 1) // 2]


def _checked(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  sources: list[int] | None,
  targets: list[int] | None,
  variant: str,
) -> tuple[list[int], list[int]]:
  """The layers of either kind; raises WayjaxError where an argument is wrong."""
  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  check_prompts(prompts, lm.name, lm.width)
  require_choice("variant", variant, VARIANTS)
  # Before the first layer, that variant has placeholders only.
  sources = _layers(lm, "sources", sources, least=1 if variant == LAYER0 else 0)
  targets = _layers(lm, "targets", targets)
  if variant == LAYER0 and (inner := inner_width(lm)) != lm.width:
    raise WayjaxError(
      f"the layers of {lm.name} are {inner} wide and its embeddings {lm.width}, so prompts cannot "
      f"take the place of a layer's output: use the variant {EMBEDDINGS}"
    )
  return sources, targets


def _requests(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context,
  sources: list[int],
  targets: list[int],
  descriptions: tuple[str, ...],
  variant: str,
) -> list[Request]:
  """The target runs, prompt by prompt and source by source, after the source runs."""
  frame, token = target_frame(lm, descriptions), placeholder(lm)
  if not prompts:
    return []
  under = [np.full(len(prompt), token, np.int32) for prompt in prompts]
  if variant == LAYER0:
    states = _states_over_layer_0(lm, prompts, context, sources, under)
  else:
    states = prompt_states(lm, prompts, context, sources)
  patches = [
    Patch(ids_P, states_PxI, target)
    for ids_P, states_LxPxI in zip(under, states, strict=True)
    for states_PxI in states_LxPxI
    for target in targets
  ]
  nothing = np.zeros(0, np.int32)
  return [Request(i, 0, patch, frame, nothing) for i, patch in enumerate(patches)]


def _decoded(lm: LanguageModel, ids_N: np.ndarray) -> str:
  return lm.tokenizer.decode(
    ids_N.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
  )


def _layers(lm: LanguageModel, name: str, given: list[int] | None, least: int = 0) -> list[int]:
  """Numbers of layers in order, each once."""
  count = layer_count(lm)
  if given is None:
    return spread_layers(lm, f"name {name}, from {least} to {count}")
  require_kind(name, given, list | tuple | range, "a list of whole numbers")
  if not len(given):
    raise WayjaxError(f"{name} is empty: name a layer from {least} to {count}")
  for layer in given:
    whole = isinstance(layer, numbers.Integral) and not isinstance(layer, bool)
    if not whole or not least <= layer <= count:
      raise WayjaxError(
        f"{name} must be whole numbers from {least} to {count}, the layers of {lm.name}, not "
        f"{layer!r}"
      )
  return sorted({int(layer) for layer in given})


def target_frame(lm: LanguageModel, descriptions: tuple[str, ...] = DEFAULT_DESCRIPTIONS) -> Frame:
  """The text before the placeholders.

  Raises:
    WayjaxError: there is no description, or one is empty or not a text.
  """
  require_kind("descriptions", descriptions, list | tuple, "a list of texts")
  if not descriptions:
    raise WayjaxError("descriptions is empty: give a few short ones of tasks")
  for text in descriptions:
    require_kind("each of descriptions", text, str, "a text")
    if not text.strip():
      raise WayjaxError("one of descriptions is empty: give it some text, or leave it out")
  # The space after the last bar is the first placeholder's own.
  before = own_beginning(lm.tokenizer) + " | ".join(descriptions) + " |"
  return make_frame(lm.tokenizer, before, "", "")


def placeholder(lm: LanguageModel) -> int:
  """The token under the states.

  Raises:
    WayjaxError: the model has none.
  """
  ids = token_ids(lm.tokenizer, [_PLACEHOLDER])[0]
  if not ids:
    raise WayjaxError(
      f"the tokenizer of {lm.name} leaves nothing of '{_PLACEHOLDER}', which stands where hidden "
      "states are put: the reader inspect cannot be used with it"
    )
  require_embeddings(lm, np.array(ids, np.int32), f"'{_PLACEHOLDER}'")
  return ids[-1]


def _states_over_layer_0(
  lm: LanguageModel,
  prompts: list[SoftPrompt],
  context: Context,
  sources: list[int],
  under: list[np.ndarray],
) -> list[np.ndarray]:
  """Hidden states (L, P, I) of prompts that are put where the first layer's output was."""
  requests = [
    dataclasses.replace(request, prompt=Patch(ids_P, prompt.vectors_PxD, 1))
    for request, prompt, ids_P in zip(
      requests_of(lm, prompts, context), prompts, under, strict=True
    )
  ]
  states = hidden_states(lm, requests, sources)
  return [
    states_LxSxI[:, -len(prompt) :] for states_LxSxI, prompt in zip(states, prompts, strict=True)
  ]
