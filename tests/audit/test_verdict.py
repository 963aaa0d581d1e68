"""The verdict says what was found, and never more."""

import pytest
from audit import made

from wayjax.audit.findings import Comparison
from wayjax.audit.verdict import mean_agreement, verdict
from wayjax.metrics import prompt_f1

UNKNOWN = "nothing is known about what the prompt does, as no task was given."
ALONE = "Only one reader was asked, so that nothing confirms or contradicts what it says"
NEAREST = made.said("nearest", "one two")


def first(*readings, task=None, **fields) -> str:
  """What the first sentence says of a prompt."""
  return verdict(made.findings(made.prompt(*readings, **fields), task=task))[0]


def test_without_a_task_nothing_is_said_of_what_a_prompt_does():
  sentences = verdict(made.findings(made.prompt(NEAREST, made.said("logit_lens", "three"))))
  assert sentences == [
    f"The readings disagree (mean pairwise prompt F1 0), and {UNKNOWN}",
    "Nearest tokens say “one two”; logit lens says “three”.",
  ]


def test_all_that_is_known_is_said_once():
  found = made.findings(
    made.prompt(
      made.said("nearest", "one two", 0.52, prompt_f1=1.0),
      made.said("nearest", "a b", 0.9, metric="dot"),
      made.said("lens", " three\n", 0.625, prompt_f1=0.08),
      accuracy=0.9,
      nothing=0.73,
      reads_as="one two",
      possible=(made.possible("itself", 0.0, 0), made.possible("x", 1.234), made.possible("y", 7)),
    ),
    task=made.TASK,
  )
  assert verdict(found) == [
    "The readings disagree (mean pairwise prompt F1 0), and no reading, as a plain text, is as "
    "accurate on sst2 as the prompt.",
    "Nearest tokens say “one two”; lens says “three”.",
    "Its file says that it is to read as “one two” (prompt F1: nearest tokens 100, lens 8).",
    "On sst2 it is right in 90.0 % of 200 rows, the text of its nearest tokens in 52.0 %, that of "
    "lens in 62.5 %, no prompt in 73.0 %, always the most frequent answer in 51.0 %.",
    "It would read as “x” if it were moved by a squared distance of at most 1.23 a token, and as "
    "the furthest of 2 other texts of its length by at most 7; that of a token's embedding to the "
    "nearest other is typically 4.4.",
  ]


@pytest.mark.parametrize(
  ("texts", "said"),
  [
    (["one two", "One, two!"], "The readings agree (mean pairwise prompt F1 100)"),
    (["a1 b2 c3 d4", "a1 b2 x3 y4"], "The readings agree in part (mean pairwise prompt F1 50)"),
    (["a1 b2", "c3", "a1 b2"], "The readings agree in part (mean pairwise prompt F1 33)"),
    (["one", "two"], "The readings disagree (mean pairwise prompt F1 0)"),
    (["one", "!"], "The readings disagree (mean pairwise prompt F1 0)"),
    (["the", "!"], "The readings have no words"),
    (["one"], ALONE),
  ],
)
def test_agreement_is_that_of_the_readers_texts(texts, said):
  readings = [made.said(f"r{i}", text) for i, text in enumerate(texts)]
  assert first(*readings) == f"{said}, and {UNKNOWN}"


def test_the_metrics_of_one_reader_do_not_agree_with_each_other():
  metrics = [made.said("nearest", "one two", metric=metric) for metric in ("euclidean", "dot")]
  assert first(*metrics).startswith(ALONE)


def test_mean_agreement_is_the_mean_over_pairs():
  texts = ["a1 b2", "a1 c3", "d4"]
  pairs = [(0, 1), (0, 2), (1, 2)]
  expected = sum(prompt_f1(texts[i], texts[j]) for i, j in pairs) / 3
  assert mean_agreement([made.said("r", text) for text in texts]) == pytest.approx(expected)


# Two standard errors of a difference are below 0.1 in 200 rows, and above it in 10.
@pytest.mark.parametrize(
  ("soft", "hard", "none", "rows", "said"),
  [
    (0.9, 0.6, 0.5, 200, "no reading, as a plain text, is as accurate on sst2 as the prompt."),
    (0.6, 0.9, 0.5, 2000, "the text of nearest tokens is more accurate on sst2 than the prompt."),
    (0.9, 0.88, 0.5, 200, "200 rows of sst2 cannot tell the prompt from the text of nearest toke"),
    (0.52, 0.9, 0.5, 200, "200 rows of sst2 cannot tell the prompt from no prompt."),
    (0.9, 0.6, 0.7, 10, "10 rows of sst2 cannot tell the prompt from no prompt."),
    (1.0, 1.0, 0.0, 1, "1 row of sst2 cannot tell the prompt from the text of nearest tokens."),
  ],
)
def test_differences_that_the_rows_cannot_show_are_not_claimed(soft, hard, none, rows, said):
  task = made.TASK.__class__(name="sst2", split="test", rows=rows, of=rows, majority=0.5)
  tried = made.said("nearest", "one", hard)
  sentence = first(tried, task=task, accuracy=soft, nothing=none)
  assert sentence.startswith(f"{ALONE}, and {said}")


def test_readings_that_were_not_tried_are_not_called_worse():
  tried, untried = made.said("nearest", "one", 0.6), made.said("lens", "two")
  sentence = first(tried, untried, task=made.TASK, accuracy=0.9)
  assert sentence.endswith(
    "no reading that fits the model with its rows, as a plain text, is as accurate on sst2 as the "
    "prompt."
  )
  assert "no reading fits the model" in first(untried, task=made.TASK, accuracy=0.9)


def test_a_reading_of_nothing_and_a_long_one():
  found = made.findings(made.prompt(made.said("nearest", " \n"), made.said("lens", "x" * 500)))
  assert verdict(found)[1] == f"Nearest tokens say nothing; lens says “{'x' * 89}…”."


def test_what_cannot_be_seen_is_shown_in_sentences():
  found = made.findings(made.prompt(made.said("nearest", "a\x1b[31m\u202eb\nc")))
  assert verdict(found)[1] == "Nearest tokens say “a\\x1b[31m\\u202eb⏎c”."


def test_one_other_text_and_none():
  one = made.findings(made.prompt(NEAREST, possible=(made.possible("x", 0.5),)))
  assert verdict(one)[-1].startswith("It would read as “x” if it were moved by a squared distance")
  assert "furthest" not in verdict(one)[-1]
  none = made.findings(made.prompt(NEAREST, possible=(made.possible("x", None),)))
  assert len(verdict(none)) == 2


def test_two_prompts_have_letters_and_are_compared():
  pair = made.prompt(NEAREST), made.prompt(NEAREST)
  found = made.findings(*pair, comparison=Comparison(c_dist=0.25, same_tokens=1))
  sentences = verdict(found)
  assert [sentence[:2] for sentence in sentences[:-1]] == ["A:", "A:", "B:", "B:"]
  assert sentences[-1] == (
    "A and B read as the same token at 1 of 2 positions and are a c-dist of 0.25 apart."
  )
  other = made.prompt(NEAREST, vectors=5)
  comparison = Comparison(c_dist=None, same_tokens=None, agreement=0.5)
  sentences = verdict(made.findings(pair[0], other, comparison=comparison))
  assert sentences[-1] == (
    "A and B have 2 and 5 vectors, so that there is no distance between them; they predict the "
    "same for 50.0 % of the rows."
  )
