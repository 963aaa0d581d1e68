"""What wayjax says of a prompt in the metadata of a safetensors file, and reads back."""

import dataclasses
import json
import typing

from wayjax.data.targets import Target
from wayjax.errors import WayjaxError
from wayjax.results import schema

NAME = "wayjax"  # of the metadata's entry, a JSON object
SPACE = "what enters the first layer"  # of some models that is a multiple of the stored embedding
PROMPT, INPUT = "prompt", "prompt and input"  # what a file holds


class Record(typing.TypedDict, total=False):
  """The entry, as far as it is read back."""

  holds: str
  model: str
  weights_sha256: str | None
  reads_as: Target | None
  before: str | None
  after: str | None
  reply: str | None


@dataclasses.dataclass(frozen=True)
class Stored:
  """What a file says of its prompt; None where it says nothing.

  Attributes:
    model: the model that it belongs to.
    weights_sha256: the hash of that model's weights.
    reads_as: what it is to read as.
    before: the text before it.
    after: the text after it.
    reply: the text after an input.
    record: the whole entry.
  """

  model: str | None = None
  weights_sha256: str | None = None
  reads_as: Target | None = None
  before: str | None = None
  after: str | None = None
  reply: str | None = None
  record: dict = dataclasses.field(default_factory=dict)


def to_metadata(record: dict) -> dict[str, str]:
  """The metadata of a safetensors file."""
  return {NAME: json.dumps(record, allow_nan=False)}


def read_metadata(metadata: dict[str, str], where: str) -> Stored:
  """What a file's metadata say.

  Raises:
    WayjaxError: wayjax's own entry is damaged, or the file holds an input besides the prompt.
  """
  if NAME not in metadata:
    return Stored()
  record = schema.parse(metadata[NAME].encode(errors="replace"), Record, where)
  if record.get("holds") == INPUT:
    raise WayjaxError(
      f"{where} holds a prompt together with an input, as a server takes it: load the prompt from "
      "where it was exported from"
    )
  known = {field.name: record.get(field.name) for field in dataclasses.fields(Stored)[:-1]}
  if known["reads_as"] is not None:
    target = schema.need(known["reads_as"], ("group", "name", "text"), where)
    known["reads_as"] = Target(target["group"], target["name"], target["text"])
  return Stored(**known, record=record)
