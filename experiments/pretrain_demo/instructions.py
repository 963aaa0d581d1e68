"""Generated instructions and lines of simple code, so that such texts are not strange to the model.

They are sentences of few kinds, made from lists of words; nothing is to be learnt from them but how
such text looks.
"""

from collections.abc import Iterator
from random import Random


def _words(text: str) -> list[str]:
  return text.split("|")


_VERBS = _words(
  "Write|Read|Give|Make|Copy|Check|Rewrite|Translate|Find|List|Describe|Explain|Print|Choose|Name|"
  "Compare|Correct|Count|Repeat|Answer|Classify|Summarize|Label|Show"
)
_ADJECTIVES = _words(
  "short|long|simple|clear|first|last|next|following|new|formal|polite|careful|complete|common|"
  "different|best|main|useful|correct|missing"
)
_NOUNS = _words(
  "summary|sentence|paragraph|question|answer|list|word|title|letter|story|review|text|example|"
  "number|line|reason|topic|table|instruction|name|file|function|program|email|message|poem"
)
_PLACES = _words(
  "below|above|in one sentence|in your own words|in plain English|for a child|on one line|"
  "without any comment|step by step|in three words|from the list|at the end|in the text|"
  "as briefly as you can|and give a reason|and explain your answer|in French|with an example"
)
_POLITE = ("Please ", "Now ", "Then ", "You should ", "Do not ", "Always ", "Never ")
_IDENTIFIERS = _words(
  "x|y|n|i|a|b|value|count|total|item|items|name|text|line|lines|data|result|key|index|size|words|"
  "number|numbers|row|rows|left|right|path|user|score|model|token|tokens|label|list_of_names"
)
_FUNCTIONS = _words(
  "len|sum|max|min|sorted|print|str|int|float|range|list|set|abs|round|open|load|save|get_value|"
  "find_index|read_file|add|count_words|is_empty|main|update|parse|train|predict"
)
_OPERATORS = ("+", "-", "*", "/", "//", "%")
_COMPARISONS = ("==", "!=", "<", ">", "<=", ">=", "in", "is not")


def documents(seed: int, count: int) -> Iterator[str]:
  """Instructions and snippets of code in turn.

  Args:
    seed: of what is drawn.
    count: how many documents.
  """
  random = Random(f"{seed} instructions")
  for i in range(count):
    yield (
      _snippet(random)
      if i % 2
      else " ".join(_instruction(random) for _ in range(random.randint(1, 3)))
    )


def _instruction(random: Random) -> str:
  article = random.choice(("a", "the", "one", "this", "each", "your"))
  adjective = random.choice((random.choice(_ADJECTIVES), ""))
  noun = f"{adjective} {random.choice(_NOUNS)}".strip()
  if article == "a" and noun[0] in "aeiou":
    article = "an"
  verb = random.choice(_VERBS)
  if random.random() < 0.3:
    verb = random.choice(_POLITE) + verb.lower()
  place = random.choice((random.choice(_PLACES), f"of the {random.choice(_NOUNS)} below", ""))
  return f"{verb} {article} {noun} {place}".strip() + random.choice((".", ".", ".", ":"))


def _expression(random: Random, depth: int = 0) -> str:
  kind = random.random()
  if depth > 1 or kind < 0.4:
    return random.choice((random.choice(_IDENTIFIERS), str(random.randint(0, 100))))
  if kind < 0.6:
    return f"{random.choice(_FUNCTIONS)}({_expression(random, depth + 1)})"
  if kind < 0.75:
    return f"{random.choice(_IDENTIFIERS)}[{random.choice(('i', '0', '-1', '1:', ':n', 'key'))}]"
  left, right = _expression(random, depth + 1), _expression(random, depth + 1)
  return f"{left} {random.choice(_OPERATORS)} {right}"


def _condition(random: Random) -> str:
  left, right = random.choice(_IDENTIFIERS), random.choice(("count", "limit", "None", "n", "items"))
  return f"{left} {random.choice(_COMPARISONS)} {right}"


def _statement(random: Random, indent: str) -> list[str]:
  name, value = random.choice(_IDENTIFIERS), _expression(random)
  return random.choice(
    (
      [f"{indent}{name} = {value}"],
      [f"{indent}{name} += {value}"],
      [f"{indent}print({name})"],
      [f"{indent}if {_condition(random)}:", f"{indent}  {name} = {value}"],
      [f"{indent}for {name} in {random.choice(_IDENTIFIERS)}:", f"{indent}  print({value})"],
      [f"{indent}while {_condition(random)}:", f"{indent}  {name} = {value}"],
      [f"{indent}{name}.append({value})"],
    )
  )


def _snippet(random: Random) -> str:
  if random.random() < 0.5:
    lines = [line for _ in range(random.randint(1, 4)) for line in _statement(random, "")]
    start = random.choice(("", "import math", "import os", "import numpy as np", "from a import b"))
    return "\n".join(filter(None, (start, *lines)))
  arguments = ", ".join(random.sample(_IDENTIFIERS, random.randint(0, 3)))
  body = [line for _ in range(random.randint(0, 2)) for line in _statement(random, "  ")]
  head = f"def {random.choice(_FUNCTIONS)}({arguments}):"
  return "\n".join((head, *body, f"  return {_expression(random)}"))
