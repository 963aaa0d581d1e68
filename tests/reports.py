"""Reports for the tests of the page."""

import dataclasses

from wayjax.report.content import Entry, Figure, Report, Table

# Markup, all that ends a script, what JavaScript takes for line ends, controls, right to left.
HOSTILE = (
  "</script><script>alert(1)</script><img src=x onerror=alert(1)> & \"'`${x} <!-- ]]>\u2028\u2029"
  "\x00\x07\x1b[31m\r\n\t\u202e שלום مرحبا \N{FAMILY} \ud83d $title"
)
SVG = (
  '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"><path id="clip" d="M0 0"/></svg>'
)


def entry(target="t1", gamma=0.01, seed=1, *, changes=None, **row) -> Entry:
  """A tuned prompt that reads as its target but for the positions in `changes`."""
  tokens = ("The", " train", " leaves", "\n")
  read = [(changes or {}).get(k, token) for k, token in enumerate(tokens)]
  row = {
    "model": "m",
    "dataset": "trec",
    "demo": False,
    "split": "test",
    "target_group": "text",
    "target_name": target,
    "target_text": "".join(tokens),
    "gamma": gamma,
    "seed": seed,
    "steps": 20,
    "prompt_key": f"text/{target}/gamma={gamma}/seed={seed}",
    "status": "done",
    "diverged_at": None,
    "init": "target",
    "lr": 0.01,
    "precision": "float32",
    "accuracy": 0.75,
    "macro_f1": 0.5,
    "text_accuracy": 0.25,
    "hard_accuracy": 0.3,
    "prompt_f1": 1.0,
    "prompt_f1_lemma": None,
    "c_dist": 2.0,
    "projection": "euclidean",
    "projected_text": "".join(read),
    "projected_text_euclidean": "".join(read),
    "projected_text_dot": "by dot",
    "projected_text_cosine": "by cosine",
    **row,
  }
  nearest = tuple(((token, 0.5), (" other", 1.5)) for token in read)
  curve = (
    {"step": 10, "cross_entropy": 2.0, "c_dist": 3.0},
    {"step": 20, "cross_entropy": 1.0, "c_dist": 2.0, "dev_accuracy": 0.5},
  )
  return Entry(row, tokens, nearest, curve)


def old(of: Entry) -> Entry:
  """The same prompt, of a run that recorded neither tokens nor curves nor most numbers."""
  kept = ("dataset", "target_text", "projected_text", "gamma", "seed", "prompt_key")
  return Entry({key: of.row[key] for key in kept}, (), (), ())


def hostile(of: Entry) -> Entry:
  """The same prompt with a hostile text for every text."""
  row = {key: HOSTILE if isinstance(value, str) else value for key, value in of.row.items()}
  nearest = tuple(tuple((HOSTILE, d) for _, d in tokens) for tokens in of.nearest)
  return dataclasses.replace(
    of, row=row, target_tokens=(HOSTILE,) * len(of.target_tokens), nearest=nearest
  )


def report(*entries: Entry, text="text") -> Report:
  """A report with one table and one figure."""
  table = Table(text, text, text, (text, "number"), ((text, "1.5"), (text, "–")), text)
  return Report(
    text, ((text, text),), (table,), (Figure(text, text, text, SVG, b"", text),), entries
  )
