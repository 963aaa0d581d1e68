"""A small grammar of sentences: named rules, and templates with slots that the rules fill."""

import random
import re

Rules = dict[str, list[str]]

_SLOT = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)-(\d+)")
_BEFORE_VOWEL = re.compile(
  r"\b([Aa]) (?=(?!uni|euro|one\b|once)[aeiou]|[AEIO]|hour|honest|8|11|18)"
)


def parse(text: str) -> Rules:
  """Reads rules: `name:` at a line's start, then its alternatives, parted by ` / ` or lines.

  A line that is indented by four blanks goes on with the alternative before it.
  """
  rules: dict[str, str] = {}
  name = ""
  for line in filter(str.strip, text.splitlines()):
    goes_on = line.startswith("    ")
    if not line.startswith(" "):
      name, _, line = line.partition(":")
      rules[name] = ""
    rules[name] += (" " if goes_on else " / ") + line.strip()
  return {
    name: [part.strip() for part in alternatives.split(" / ") if part.strip()]
    for name, alternatives in rules.items()
  }


def expand(template: str, rules: Rules, rng: random.Random) -> str:
  """Fills a template's slots, and the slots of what fills them.

  A slot is `{rule}`; `{rule.1}`, which is filled alike wherever it stands in one text; `{^rule}`,
  which begins with a capital; `{10-90}`, a whole number of that range; or `{one|two|}`, a choice.

  Args:
    template: text with slots.
    rules: alternatives by name.
    rng: makes the choices. No filler comes twice in a text while its rule has others.

  Returns:
    The text, with "an" for "a" where a vowel follows.
  """
  kept: dict[str, str] = {}
  used: set[str] = set()

  def choose(slot: str) -> str:
    if bounds := _RANGE.fullmatch(slot):
      return str(rng.randint(int(bounds[1]), int(bounds[2])))
    if "|" in slot:
      return rng.choice(slot.split("|"))
    options = rules[slot.partition(".")[0]]
    choice = rng.choice([option for option in options if option not in used] or options)
    used.add(choice)
    return fill(choice)

  def replace(match: re.Match) -> str:
    slot = match[1].removeprefix("^")
    if "." in slot and "|" not in slot:
      if slot not in kept:
        kept[slot] = choose(slot)
      value = kept[slot]
    else:
      value = choose(slot)
    return value[:1].upper() + value[1:] if match[1].startswith("^") else value

  def fill(text: str) -> str:
    while _SLOT.search(text):  # the innermost first: a choice may hold slots
      text = _SLOT.sub(replace, text)
    return text

  return _BEFORE_VOWEL.sub(r"\1n ", " ".join(fill(template).split()))
