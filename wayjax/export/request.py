"""How prompts are to be exported."""

import dataclasses

from wayjax.config import CERTIFIED
from wayjax.errors import WayjaxError
from wayjax.export import peft_format, safetensors_format, vllm_format
from wayjax.export.source import Source
from wayjax.options import require_choice, require_kind
from wayjax.visible import is_unicode

FORMATS = {"peft": peft_format, "safetensors": safetensors_format, "vllm": vllm_format}
_PEFT, VLLM = "peft", "vllm"
EXACT = CERTIFIED[0]  # the type that prompts are tuned and read in


@dataclasses.dataclass(frozen=True)
class Request:
  """How prompts are to be exported.

  Attributes:
    format: `peft`, `safetensors` or `vllm`.
    dtype: the type of the vectors: `float32`, `float16` or `bfloat16`.
    text: of vllm, the input that follows the prompt.
    fold_frame: of peft, whether the text around the prompt becomes virtual tokens.

  Raises:
    WayjaxError: an unknown format or type, or what belongs to another format.
  """

  format: str = _PEFT
  dtype: str = EXACT
  text: str | None = None
  fold_frame: bool = False

  def __post_init__(self):
    require_choice("format", self.format, tuple(FORMATS))
    require_choice("dtype", self.dtype, CERTIFIED)
    if self.text is not None:
      require_kind("input", self.text, str, "a text")
      if not is_unicode(self.text):
        raise WayjaxError(f"--input '{self.text}' is not valid Unicode: give another text")
    if self.format == VLLM and self.text is None:
      raise WayjaxError("--format vllm needs --input, the text that follows the prompt")
    if self.format != VLLM and self.text is not None:
      raise WayjaxError(f"--input belongs to --format vllm, not to {self.format}: leave it out")
    if self.format != _PEFT and self.fold_frame:
      raise WayjaxError(
        f"--fold-frame belongs to --format peft, not to {self.format}: leave it out"
      )

  @property
  def framed(self) -> bool:
    """Whether the text around a prompt is written as vectors too."""
    return self.fold_frame or self.format == VLLM

  def needs_model(self, sources: list[Source]) -> str | None:
    """The option for which the model has to be loaded; None where it need not be."""
    if self.format == VLLM:
      return f"--format {VLLM}"
    if self.dtype != EXACT:
      return f"--dtype {self.dtype}"
    return "--fold-frame" if self.fold_frame and any(map(Source.is_framed, sources)) else None
