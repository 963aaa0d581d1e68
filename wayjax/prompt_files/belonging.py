"""Which model a stored prompt belongs to."""

from pathlib import Path, PurePath

from wayjax.errors import WayjaxError
from wayjax.options import require_kind
from wayjax.prompts import SoftPrompt, check_prompts


def choose_model(where: str, named: str | None, weights_sha256: str | None, given) -> str:
  """The name of the model that a prompt belongs to.

  Args:
    where: where the prompt is stored, for messages.
    named: the model that is named there, if any.
    weights_sha256: the hash of that model's weights, if it is known.
    given: the model that a caller names or has loaded; None for none.

  Raises:
    WayjaxError: neither is a model, or they are two different ones.
  """
  if given is None:
    if not named:
      raise WayjaxError(
        f"{where} does not name the model that its prompt belongs to: give model=, or --model"
      )
    return named
  name, own = _as_named(given)
  if not named:
    return name
  if weights_sha256 and own:
    if weights_sha256 == own:
      return name
    raise WayjaxError(
      f"{where} holds a prompt of '{named}' with other weights than those of '{name}': give the "
      "model that it was tuned on"
    )
  if name != named and PurePath(name).name != PurePath(named).name:
    how = (
      "give model=load_lm(...), which is compared by its weights"
      if weights_sha256
      else "put it in a folder of that name"
    )
    raise WayjaxError(
      f"{where} holds a prompt of '{named}', not of '{name}': leave model out, or, if the two are "
      f"the same, {how}"
    )
  return name


def _as_named(given) -> tuple[str, str | None]:
  """The name of a model that was given, and the hash of its weights if it is loaded."""
  if isinstance(given, str | Path):
    if not str(given):
      raise WayjaxError("model must be the name of a model, not an empty text")
    return str(given), None
  _require_lm(given)
  return given.name, given.weights_sha256


def _require_lm(given) -> None:
  from wayjax.models import LanguageModel  # imported here: prompts are read without jax

  require_kind("model", given, LanguageModel, "a name, or what load_lm returns")


def require_width(prompt: SoftPrompt, given) -> SoftPrompt:
  """Returns a prompt that is as wide as a model that was loaded; raises WayjaxError otherwise."""
  if given is not None and not isinstance(given, str | Path):
    check_prompts([prompt], given.name, given.width)
  return prompt
