"""What a soft prompt says: one file a reader, all of one interface, each batched over prompts.

To add a reader, write `readers/x.py` with a function like `nearest.read` and name it here; with
`--readers x` a run's rows hold what it says under `readings`.
"""

from collections.abc import Callable

from wayjax.errors import WayjaxError
from wayjax.generation.requests import Request
from wayjax.readers import (
  contextual,
  hard,
  inspect,
  logit_lens,
  mixture,
  nearest,
  verbalise,
)
from wayjax.readers.reading import Context, Reading

__all__ = ["READERS", "SEQUENCES", "Context", "Reading", "get_reader"]

# Name -> a function of a language model, soft prompts and a context that returns a reading of each.
READERS: dict[str, Callable[..., list[Reading]]] = {
  "nearest": nearest.read,
  "logit_lens": logit_lens.read,
  "contextual": contextual.read,
  "inspect": inspect.read,
  "verbalise": verbalise.read,
  "mixture": mixture.read,
  "hard": hard.read,
}

# Of readers whose text the model makes: a function of the same that returns what it goes on from.
SEQUENCES: dict[str, Callable[..., list[Request]]] = {
  "inspect": inspect.sequences,
  "verbalise": verbalise.sequences,
}


def get_reader(name: str) -> Callable[..., list[Reading]]:
  """The reader of that name.

  Raises:
    WayjaxError: there is none.
  """
  if name not in READERS:
    raise WayjaxError(f"unknown reader '{name}': choose among {', '.join(READERS)}")
  return READERS[name]
