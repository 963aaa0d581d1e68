"""SoftPrompt, the noun that everything else is about: it is made, it does something, it is read.

Tuning makes soft prompts; so does `text_prompt`, of a text. `wayjax.load_prompt` reads those of run
folders, files and PEFT folders, and `wayjax.save_prompt` writes them. Free of jax, so that prompts
are read without it.
"""

import dataclasses
from collections.abc import Collection

import numpy as np

from wayjax.data.encoding import target_ids
from wayjax.data.targets import Target
from wayjax.errors import WayjaxError, reason
from wayjax.options import require_kind
from wayjax.visible import is_unicode


@dataclasses.dataclass(frozen=True, eq=False)
class SoftPrompt:
  """A soft prompt: vectors that are put before a frozen language model's input.

  Attributes:
    vectors_PxD: its vectors, in the space that enters the first layer: float32, on the host, and
      read-only.
    model: the model whose embedding table they are compared with, as `load_lm` names it.
    reads_as: the text that it is to read as; None for a prompt that was found.
    before: the text that it was tuned after, special tokens by their names; None if not known.
    after: the text that stood between it and the inputs; None if not known.
    reply: the text between an input and its answer, as in a chat; None if not known.
    origin: where it comes from, such as a run folder and its key, or PEFT's adapter_config.json.

  Raises:
    WayjaxError: the vectors are not a matrix of real numbers, or it reads as what is no Target.
  """

  vectors_PxD: np.ndarray
  model: str
  reads_as: Target | None = None
  origin: dict = dataclasses.field(default_factory=dict)
  before: str | None = None
  after: str | None = None
  reply: str | None = None

  def __post_init__(self):
    require_kind("model", self.model, str, "the name of a model")
    if self.reads_as is not None:
      require_kind("reads_as", self.reads_as, Target, "a Target")
    for name in ("before", "after", "reply"):
      if getattr(self, name) is not None:
        require_kind(name, getattr(self, name), str, "a text")
        if not is_unicode(getattr(self, name)):
          raise WayjaxError(f"the text {name} of a prompt is not valid Unicode: give another")
    try:
      given = np.asarray(self.vectors_PxD)
      if np.iscomplexobj(given):
        raise TypeError("these are complex")
      vectors_PxD = np.array(given, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
      raise WayjaxError(f"a soft prompt is made of numbers: {reason(error)}") from error
    if vectors_PxD.ndim != 2 or 0 in vectors_PxD.shape:
      raise WayjaxError(
        f"a soft prompt has the shape (tokens, width), not {np.shape(self.vectors_PxD)}"
      )
    vectors_PxD.flags.writeable = False
    object.__setattr__(self, "vectors_PxD", vectors_PxD)

  def __len__(self) -> int:
    """P, its length in tokens."""
    return len(self.vectors_PxD)

  @property
  def width(self) -> int:
    """D, the width of the model it belongs to."""
    return self.vectors_PxD.shape[1]


def check_prompts(prompts: list[SoftPrompt], model: str, width: int) -> None:
  """Raises WayjaxError where something is not a list of soft prompts that fit a model.

  Args:
    prompts: what should be one.
    model: the model's name.
    width: its D.
  """
  if isinstance(prompts, SoftPrompt):
    raise WayjaxError("prompts must be a list of SoftPrompts, not a single one")
  require_kind("prompts", prompts, Collection, "a list of SoftPrompts")
  for prompt in prompts:
    if not isinstance(prompt, SoftPrompt):
      raise WayjaxError(
        f"prompts must be a list of SoftPrompts, and one is a {type(prompt).__name__}"
      )
    if prompt.width != width:
      raise WayjaxError(
        f"a prompt of width {prompt.width} does not fit {model}, whose width is {width}"
      )


def text_prompt(lm, text: str | Target) -> SoftPrompt:
  """A text as a soft prompt, the embeddings of its tokens: c-proj (Eq. 1).

  Args:
    lm: the language model.
    text: the text, or a target.

  Raises:
    WayjaxError: the text has no tokens.
  """
  from wayjax.devices.sharding import fetch  # imported here: prompts are read without jax
  from wayjax.models import LanguageModel

  require_kind("lm", lm, LanguageModel, "what load_lm returns")
  target = text if isinstance(text, Target) else Target("text", "text", text)
  ids = target_ids(lm, target)
  if not len(ids):
    raise WayjaxError(f"target '{target.name}' has no tokens: give it some text")
  return SoftPrompt(fetch(lm.table_VxD)[ids], lm.name, target, {"text": target.text})
