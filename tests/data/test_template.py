"""Templates: both forms taken apart, and what is wrong with one that is not a template."""

import pytest

from wayjax.data.tasks import TASKS
from wayjax.data.template import Template, parse_template

NLI = "{premise} Question: {hypothesis} ? Answer: {label}"


@pytest.mark.parametrize(
  ("template", "answer", "expected"),
  [
    ("It was %s .", "label", Template((("", "text"),), "", " It was ", " .")),
    ("%s", "label", Template((("", "text"),), "", " ", "")),
    ("Answer: %s", "target", Template((("", "text"),), "", " Answer: ", "")),
    # In the first form braces are nothing but braces.
    ("{x} %s", "label", Template((("", "text"),), "", " {x} ", "")),
    (
      NLI,
      "label",
      Template((("", "premise"), (" Question: ", "hypothesis")), " ? Answer:", " ", ""),
    ),
    ("Q: {q}\n{target}.", "target", Template((("Q: ", "q"),), "", "\n", ".")),
    ("{{x}} {q}{target}{{}}", "target", Template((("{x} ", "q"),), "", "", "{}")),
    ("Say {target}", "target", Template((), "Say", " ", "")),
    ("{a} {b} {a} {label}", "label", Template((("", "a"), (" ", "b"), (" ", "a")), "", " ", "")),
    ("100% {a} {label}", "label", Template((("100% ", "a"),), "", " ", "")),
  ],
)
def test_a_template_is_taken_apart(template, answer, expected):
  assert parse_template(template, answer) == expected


def test_the_parts_put_together_are_the_example():
  layout = parse_template(NLI)
  assert layout.columns == ("premise", "hypothesis")
  filled = layout.input(("It {rains}", "It is %s")) + layout.lead + "no" + layout.tail
  assert filled == "It {rains} Question: It is %s ? Answer: no"
  assert parse_template("{a} {b} {a} {label}").input(("1", "2")) == "1 2 1"


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_the_papers_tasks_are_as_they_were(task):
  assert task.is_plain
  assert task.columns == ("text", "label")
  assert task.fill() == [" " + task.template.replace("%s", word) for word in task.label_words]


@pytest.mark.parametrize(
  ("template", "answer", "message"),
  [
    ("nothing", "label", "contains %s once, or {label}, where the label word goes"),
    ("%s and %s", "label", "contains %s once"),
    ("{text}", "label", "contains %s once"),
    ("{label} {label}", "label", "contains %s once"),
    ("{text} {label}", "target", "contains %s once, or {target}, where the answer goes"),
    ("{label} {text}", "label", "has {text} after {label}, which must be its last"),
    ("{text {label}", "label", "cannot be read: .*written twice|not just the name"),
    ("{text} } {label}", "label", "cannot be read: Single '}'"),
    ("{} {label}", "label", "not just the name of a column"),
    ("{text!r} {label}", "label", "not just the name of a column"),
    ("{text:>9} {label}", "label", "not just the name of a column"),
  ],
)
def test_what_is_no_template_is_said(template, answer, message):
  with pytest.raises(ValueError, match=message):
    parse_template(template, answer)
