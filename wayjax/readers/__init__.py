"""What a soft prompt says: one file a reader, all of one interface, each batched over prompts.

To add a reader, write `readers/x.py` with a function like `nearest.read` and name it here; a run's
rows then hold what it says under `readings`.
"""

from collections.abc import Callable

from wayjax.readers import nearest
from wayjax.readers.reading import Context, Reading

__all__ = ["READERS", "Context", "Reading"]

# Name -> a function of a language model, soft prompts and a context that returns a reading of each.
READERS: dict[str, Callable[..., list[Reading]]] = {"nearest": nearest.read}
