"""The files of an exported prompt: its vectors, rounded and read again, and a README."""

from collections import Counter

import ml_dtypes
import numpy as np

import wayjax
from wayjax.config import CERTIFIED
from wayjax.data.encoding import (
  TEMPLATE_ROOM,
  encode_template,
  require_embeddings,
  target_ids,
)
from wayjax.data.frame import Frame, encode_frame
from wayjax.data.targets import Target
from wayjax.devices.sharding import fetch
from wayjax.errors import WayjaxError
from wayjax.export import card
from wayjax.export.request import EXACT, FORMATS, VLLM, Request
from wayjax.export.source import Source
from wayjax.prompt_files.metadata import INPUT, PROMPT, SPACE
from wayjax.prompts import SoftPrompt
from wayjax.readers.nearest import project

README = "README.md"
_TYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def make_folders(
  sources: dict[str, Source], how: Request, lm
) -> tuple[dict[str, dict[str, bytes]], list[str]]:
  """The files of a folder for each prompt, and what users of them must know.

  Args:
    sources: the prompts by the names of their folders.
    how: how they are exported.
    lm: their model; None where it is not needed.

  Returns:
    Contents by file's name, by folder's name; and sentences, each with the folders that it is of
    unless it is of all.

  Raises:
    WayjaxError: a prompt does not fit the format, the type or the model.
  """
  made = {name: _make_folder(source, how, lm) for name, source in sources.items()}
  counts = Counter(note for _, notes in made.values() for note in notes)
  said = {
    note if counts[note] == len(made) else f"{name}: {note}": None
    for name, (_, notes) in made.items()
    for note in notes
  }
  return {name: files for name, (files, _) in made.items()}, list(said)


def _make_folder(source: Source, how: Request, lm) -> tuple[dict[str, bytes], list[str]]:
  form = FORMATS[how.format]
  notes = form.notes(source, how.fold_frame)
  if source.row and source.row["status"] != "done":
    notes.append(f"the training of {source.row['prompt_key']} diverged")
  parts, more = _parts(source, how, lm)
  vectors_SxD = _rounded(np.concatenate(parts), how.dtype, source.where)
  if how.format == VLLM and len(vectors_SxD) > lm.max_positions:
    raise WayjaxError(
      f"{source.where} and --input take {len(vectors_SxD)} positions, and the model has "
      f"{lm.max_positions}: give a shorter text"
    )
  reading = _reading(source, how, lm)
  notes += more + reading
  files = form.files(source, vectors_SxD, _record(source, how, lm))
  use = form.use(source, len(vectors_SxD))
  layout = form.layout(source, how.fold_frame)
  text = card.write(source, how, len(vectors_SxD), layout, notes, use)
  return {**files, README: text.encode()}, notes


def _parts(source: Source, how: Request, lm) -> tuple[list[np.ndarray], list[str]]:
  """What the tensor is made of, in float32, and sentences on it."""
  prompt = source.prompt
  if not how.framed or lm is None:
    return [prompt.vectors_PxD], []
  table_VxD = fetch(lm.table_VxD)
  frame = encode_frame(
    lm.tokenizer, *(text or "" for text in (prompt.before, prompt.after, prompt.reply))
  )
  around = [np.array(ids, np.int32) for ids in (frame.before_ids, frame.after_ids)]
  for ids in around:
    require_embeddings(lm, ids, "the text around the prompt")
  parts, notes = [table_VxD[around[0]], prompt.vectors_PxD, table_VxD[around[1]]], []
  if how.format == VLLM:
    ids, notes = _input_ids(source, how.text, frame, lm)
    parts.append(table_VxD[ids])
  return parts, notes


def _input_ids(source: Source, text: str, frame: Frame, lm) -> tuple[np.ndarray, list[str]]:
  """Token ids of an input as its task lays it out, and sentences on it."""
  task, notes = source.task, []
  ids = target_ids(lm, Target("text", "input", text)).tolist()
  if task is None:
    notes.append("no task is known, so nothing follows the input: write a template's words into it")
    return np.array([*ids, *frame.reply_ids], np.int32), notes
  if not task.is_plain:
    notes.append("the input is taken as it is: write it as the template has it, up to the answer")
  length = source.max_length or task.max_length
  most = length - TEMPLATE_ROOM
  if most < 1:
    raise WayjaxError(
      f"{source.where} has a max_length of {length}, which leaves no room for an input: it must be "
      f"above {TEMPLATE_ROOM}"
    )
  if len(ids) > most:
    notes.append(f"the input was cut to its first {most} tokens, as in training")
  lead, _ = encode_template(lm.tokenizer, task, frame)
  return np.array([*ids[:most], *lead], np.int32), notes


def _rounded(vectors_SxD: np.ndarray, dtype: str, where: str) -> np.ndarray:
  """Vectors in a type, each number the nearest one."""
  with np.errstate(over="ignore"):  # said below
    rounded = vectors_SxD.astype(_TYPES[dtype])
  if not np.isfinite(rounded.astype(np.float32)).all():
    most = float(ml_dtypes.finfo(_TYPES[dtype]).max)
    raise WayjaxError(
      f"{where} has numbers beyond {most:,.6g}, the largest of {dtype}: use --dtype "
      + ("bfloat16 or float32" if dtype == "float16" else "float32")
    )
  return rounded


def _reading(source: Source, how: Request, lm) -> list[str]:
  """What rounding did to the reading, as sentences."""
  if how.dtype == EXACT:
    return []
  prompt, metric, notes = source.prompt, source.metric, []
  rounded_PxD = _rounded(prompt.vectors_PxD, how.dtype, source.where).astype(np.float32)
  ids_P, now_P = project(lm, [prompt, SoftPrompt(rounded_PxD, prompt.model)], metric)
  if changed := int(np.sum(ids_P != now_P)):
    was, now = (lm.tokenizer.decode(ids.tolist()) for ids in (ids_P, now_P))
    notes.append(
      f"stored as {how.dtype}, {changed} of its {len(prompt)} vectors read as other tokens by "
      f"{metric}: '{was}' becomes '{now}'"
    )
  if (covered := source.certified_up_to) and how.dtype not in _up_to(covered):
    notes.append(f"what it reads as is certified for types up to {covered}, not for {how.dtype}")
  return notes


def _up_to(coarsest: str) -> tuple[str, ...]:
  """The types that are no coarser than one."""
  return CERTIFIED[: CERTIFIED.index(coarsest) + 1]


def _record(source: Source, how: Request, lm) -> dict:
  """What wayjax says of the prompt in the file's metadata."""
  prompt, target = source.prompt, source.prompt.reads_as
  read = {
    "reads_as": target and {"group": target.group, "name": target.name, "text": target.text},
    "before": prompt.before,
    "after": prompt.after,
    "reply": prompt.reply,
  }
  if how.fold_frame and source.is_framed():  # the vectors of the file read as something else
    read = {"reads_as": None, "before": "", "after": "", "reply": prompt.reply, "folded": read}
  return {
    "version": wayjax.__version__,
    "holds": INPUT if how.format == VLLM else PROMPT,
    "space": SPACE,
    "dtype": how.dtype,
    "model": prompt.model,
    "model_revision": source.model_revision,
    "weights_sha256": source.weights_sha256 or (lm and lm.weights_sha256),
    "key": source.key,
    **read,
  }
