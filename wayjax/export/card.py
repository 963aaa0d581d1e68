"""The README of an exported prompt: a model card, with YAML as the Hugging Face Hub has it."""

import json

from wayjax import demo
from wayjax.data.encoding import TEMPLATE_ROOM
from wayjax.export.request import FORMATS, Request
from wayjax.export.source import Source
from wayjax.results.markdown import code_block, escape_markdown
from wayjax.results.summary import percent
from wayjax.visible import visible

_EMBEDDED = f"The model `{demo.NAME}` is part of wayjax: its folder is `wayjax.demo.MODEL`."
WARNING = "What this prompt reads as says nothing about what it does."


def write(
  source: Source,
  how: Request,
  size: int,
  layout: str,
  notes: list[str],
  use: tuple[str, str],
) -> str:
  """The README of a folder.

  Args:
    source: the prompt.
    how: how it is exported.
    size: rows of the tensor.
    layout: where the prompt stands.
    notes: what users must know.
    use: words on how it is used, and a program.
  """
  words, program = use
  of = f"{source.task.name} on " if source.task else ""
  title = escape_markdown(f"A soft prompt for {of}{source.prompt.model}")
  parts = [
    _front_matter(source, how),
    f"# {title}",
    f"**{WARNING}**\nwayjax, which wrote it, finds soft prompts that solve a task and read as any "
    "text.",
    "## What it was tuned for",
    _task(source),
    "## Layout",
    code_block(layout),
    _layout(source, how, size),
    "\n".join(f"- {escape_markdown(_sentence(note))}" for note in notes),
    "## Use",
    _EMBEDDED if source.prompt.model == demo.NAME else "",
    words,
    code_block(program.rstrip(), "python"),
    "## What it reads as",
    _reading(source),
    f"{WARNING} Look at what it does.",
    "## Accuracy",
    _accuracy(source),
  ]
  return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(source: Source, how: Request) -> str:
  base = json.dumps(visible(source.prompt.model), ensure_ascii=False)  # as YAML quotes it
  adapter = json.dumps(f"base_model:adapter:{visible(source.prompt.model)}", ensure_ascii=False)
  lines = [
    "---",
    f"base_model: {base}",
    f"library_name: {FORMATS[how.format].LOADED_BY}",
    "pipeline_tag: text-generation",
    "tags:",
    "- soft-prompt",
    "- prompt-tuning",
    "- wayjax",
    f"- {adapter}",
    "---",
  ]
  return "\n".join(lines)


def _task(source: Source) -> str:
  task = source.task
  if task is None:
    return "Its task is not recorded."
  most = (source.max_length or task.max_length) - TEMPLATE_ROOM
  place = "%s" if task.is_plain else f"{{{task.columns[-1]}}}"
  template = f"the template “{escape_markdown(task.template)}”"
  what = (
    f"a text, cut to its first {most} tokens, then a space and {template}"
    if task.is_plain
    else f"{template}, whose columns are cut so that the input has at most {most} tokens"
  )
  start = f"The task “{escape_markdown(task.name)}”: {what}, in which {escape_markdown(place)} is "
  if task.answer is not None:
    return start + "the answer. It is right where it is the true one after normalisation."
  words = ", ".join(escape_markdown(word) for word in task.label_words)
  return start + (
    f"one of: {words}. The answer is the word whose tokens, to the end of the template and of the "
    "sequence, have the smallest mean log-loss."
  )


def _layout(source: Source, how: Request, size: int) -> str:
  prompt = source.prompt
  lines = [
    f"{size} × {prompt.width} numbers of type {how.dtype}, in the space that enters the model's "
    f"first layer; the soft prompt itself has {len(prompt)} vectors."
  ]
  for name, text in (("before", prompt.before), ("after", prompt.after)):
    if text is None:
      lines.append(f"The text {name} it is not recorded; most prompts have none.")
    elif text:
      lines.append(f"The text {name} it: “{escape_markdown(text)}”.")
  if prompt.reply:
    lines.append(f"The text after an input: “{escape_markdown(prompt.reply)}”.")
  if how.fold_frame and source.is_framed():
    lines.append(
      "The text around it is written as virtual tokens, with exactly the effect of the text; a "
      "reading of the virtual tokens includes it."
    )
  return "\n".join(lines)


def _reading(source: Source) -> str:
  row, target = source.row, source.prompt.reads_as
  lines = []
  if target is not None:
    lines.append(f"It was made to read as: “{escape_markdown(target.text)}”.")
  if row is not None:
    lines.append(
      f"By {source.metric} every vector's nearest token gives, in float32: "
      f"“{escape_markdown(row['projected_text'])}”."
    )
    if row.get("certified") is not None:
      lines.append(
        f"That is certified in every type up to {source.certified_up_to}."
        if source.certified_up_to
        else "That it reads as its text is not certified."
      )
  return "\n".join(lines) or "It is not recorded; `wayjax` reads it."


def _accuracy(source: Source) -> str:
  row = source.row
  if row is None:
    return "It is not recorded."
  numbers = {
    "this prompt": row["accuracy"],
    "the unconstrained prompt of the same target and seed": source.unconstrained,
    "the plain text, as the prompt": row.get("text_accuracy"),
    "always the most frequent label or answer": source.resolved.get("majority"),
  }
  lines = [f"| {name} | {percent(value)} |" for name, value in numbers.items()]
  rows = (
    f"In per cent of the {escape_markdown(str(row.get('split', '')))} rows, as tuned and measured "
    f"with products in {escape_markdown(str(row.get('precision', 'float32')))}:"
  )
  return "\n".join([rows, "", "| prompt | accuracy |", "|---|---|", *lines])


def _sentence(note: str) -> str:
  return note[:1].upper() + note[1:] + "."
