"""The tables of an audit, with two prompts beside each other where there are two."""

from wayjax.audit.findings import Findings, Position, PromptFindings, Said
from wayjax.audit.verdict import NEAREST, quoted, reader_name
from wayjax.report.content import Table
from wayjax.results.summary import UNKNOWN, percent
from wayjax.visible import visible


def lettered(findings: Findings) -> list[tuple[str, PromptFindings]]:
  """The prompts with their letters; a single one has none."""
  return list(zip("AB" if len(findings.prompts) > 1 else ("",), findings.prompts))


def number(value: float | None) -> str:
  """A number with three significant digits; a dash where it is not known."""
  return UNKNOWN if value is None else f"{value:#.3g}".removesuffix(".")


def named(findings: Findings, prompt: PromptFindings) -> list[tuple[str, Said]]:
  """Readings by their names; of nearest tokens one, where all metrics always say the same."""
  same = all(
    len({said.text for said in one.said if said.reader == NEAREST}) <= 1 for one in findings.prompts
  )
  if not same:
    return [(reader_name(said), said) for said in prompt.said]
  return [
    ("nearest tokens, by every metric" if said.reader == NEAREST else reader_name(said), said)
    for said in prompt.one_a_reader()
  ]


def token(text: str | None) -> str:
  """A token in which spaces are seen."""
  return UNKNOWN if text is None else visible(text).replace(" ", "␣")


def _vectors(prompt: PromptFindings) -> str:
  return "1 vector" if prompt.vectors == 1 else f"{prompt.vectors} vectors"


def facts(findings: Findings) -> tuple[tuple[str, str], ...]:
  """What was audited, as pairs of a term and its value."""
  found = [("model", findings.model)]
  for letter, prompt in lettered(findings):
    name = f"prompt {letter}".strip()
    around = "".join(
      f", {where} {token(text)}"
      for where, text in (("after", prompt.before), ("before", prompt.after))
      if text
    )
    found.append((name, f"{prompt.name}: {_vectors(prompt)}{around}"))
  if findings.comparison is not None:
    found.append(("c-dist of A and B", number(findings.comparison.c_dist)))
    same = findings.comparison.same_tokens
    found.append(("same nearest token", UNKNOWN if same is None else f"at {same} positions"))
  task = findings.task
  if task is None:
    found.append(("task", "none given"))
  else:
    found.append(("task", f"{task.name}, {task.rows:,} of {task.of:,} {task.split} rows"))
  scale = findings.scale
  found.append(("embeddings", f"{scale.tokens:,}, of median length {number(scale.norm)}"))
  return tuple(found)


def scored(said: Said) -> str:
  """The scores of one reading, in a line; empty where there are none."""
  parts = []
  if said.prompt_f1 is not None:
    parts.append(f"prompt F1 {percent(said.prompt_f1)}")
  if said.scores is not None:
    parts.append(f"as a plain text right in {percent(said.scores.accuracy)} %")
  return " · ".join(parts)


def positions(findings: Findings) -> list[Table]:
  """The vectors: their nearest tokens, and what is near them."""
  prompts = lettered(findings)
  told = {letter: any(p.target is not None for p in prompt.positions) for letter, prompt in prompts}
  columns = ["position"]
  for letter, _ in prompts:
    names = ["nearest token", *["is to read as"] * told[letter], *_MEASURED]
    columns += [f"{letter} {name}".strip() for name in names]
  longest = max(prompt.vectors for _, prompt in prompts)
  lines = []
  for i in range(longest):
    line = [str(i + 1)]
    for letter, prompt in prompts:
      at = prompt.positions[i] if i < prompt.vectors else None
      line += _cells(at, told[letter])
    lines.append(tuple(line))
  caption = (
    "By Euclidean distance, in the embeddings' units. The margin is the distance to the nearest "
    "wall of the token's cell: beyond it the vector reads as the token behind the wall. A relative "
    "margin of 1 is that of the token's own embedding. The length is shown with the share of the "
    f"{findings.scale.tokens:,} embeddings that are not longer; their median length is "
    f"{number(findings.scale.norm)}."
  )
  return [Table("positions", "Vectors", caption, tuple(columns), tuple(lines))]


_MEASURED = ("distance", "margin", "relative", "behind the wall", "length", "percentile")


def _cells(at: Position | None, told: bool) -> list[str]:
  if at is None:
    return [""] * (1 + told + len(_MEASURED))
  same = "✓" if at.target == at.token else token(at.target)
  return [
    token(at.token),
    *[same] * told,
    number(at.distance),
    number(at.margin),
    number(at.margin_relative),
    token(at.wall),
    number(at.norm),
    f"{at.norm_percentile:.1f}",
  ]


def possible(findings: Findings) -> Table:
  """Other texts, and how far each prompt is from reading as them."""
  prompts = lettered(findings)
  by_text = [{one.text: one for one in prompt.possible} for _, prompt in prompts]
  columns = ["text"]
  for letter, _ in prompts:
    columns += [f"{letter} {name}".strip() for name in ("at most", "vectors moved", "to the text")]
  lines = []
  for text in dict.fromkeys(text for found in by_text for text in found):
    line = [text]
    for found in by_text:
      one = found.get(text)
      if one is None:
        line += [UNKNOWN] * 3
      else:
        line += [number(one.c_dist), str(one.moved), number(one.c_dist_to_text)]
    lines.append(tuple(line))
  caption = " ".join(_explained(findings))
  return Table("possible", "Other texts of its length", caption, tuple(columns), tuple(lines))


def _explained(findings: Findings) -> list[str]:
  scale = findings.scale
  sentences = [
    "“At most” is the squared distance a token (c-dist) to a point that certainly reads as the "
    "text, also when it is stored as bfloat16. It is an upper bound: vectors are moved along a "
    "straight line until they are in the cells of the text's tokens, and nothing is retrained, so "
    "what the moved prompt does is not known. Beside it is the c-dist to the text's own embeddings."
  ]
  if scale.nearest_squared is not None:
    sentences.append(
      "For scale: the squared distance of an embedding to the nearest other is "
      f"{number(scale.nearest_squared)} (the median over {scale.drawn:,} tokens)."
    )
  for prompt in findings.prompts:
    if prompt.other_length:
      sentences.append(
        f"Left out of a prompt of {_vectors(prompt)}, because they have another number of "
        f"tokens: {prompt.other_length:,} texts."
      )
    for text, why in prompt.impossible.items():
      sentences.append(f"Nothing reads as {quoted(text)}: {why}.")
    if not prompt.possible and not prompt.other_length and not prompt.impossible:
      sentences.append("No texts were given.")
  return list(dict.fromkeys(sentences))  # two prompts often have the same length


def on_task(findings: Findings) -> list[Table]:
  """What prompts and texts do on the task; nothing without one."""
  task = findings.task
  if task is None:
    return []
  prompts = lettered(findings)
  columns = ["in the prompt's place"]
  for letter, _ in prompts:
    columns += [f"{letter} {name}".strip() for name in _SCORED]
  sides = [_scores_by_name(findings, prompt) for _, prompt in prompts]
  lines = []
  for name in dict.fromkeys(name for side in sides for name in side):
    line = [name]
    for side in sides:
      line += side.get(name, [UNKNOWN] * len(_SCORED))
    lines.append(tuple(line))
  caption = (
    f"On {task.rows:,} rows drawn from the {task.of:,} {task.split} rows of {task.name}; the most "
    f"frequent answer is {percent(task.majority)} % of them. Accuracy, macro F1, agreement and "
    "classes in per cent. Faithfulness is the share of the prompt's gain over no prompt that a "
    "text has; KL, in nats, is that of the prompt's class probabilities from the text's; agreement "
    "is on how many rows both predict the same; classes is how many of the task's a text names."
  )
  return [Table("task", f"On {task.name}", caption, tuple(columns), tuple(lines))]


_SCORED = ("accuracy", "macro F1", "faithfulness", "KL", "agreement", "classes")


def _scores_by_name(findings: Findings, prompt: PromptFindings) -> dict[str, list[str]]:
  found = {
    "the prompt itself": (prompt.scores, None),
    "no prompt": (prompt.nothing, None),
    **{name: (said.scores, said.class_rate) for name, said in named(findings, prompt)},
  }
  return {
    name: [UNKNOWN] * (len(_SCORED) - 1) + [percent(rate)]
    if scores is None
    else [
      percent(scores.accuracy),
      percent(scores.macro_f1),
      number(scores.faithfulness),
      number(scores.kl),
      percent(scores.agreement),
      percent(rate),
    ]
    for name, (scores, rate) in found.items()
  }
