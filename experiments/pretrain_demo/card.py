"""The demo model's card."""

from experiments.pretrain_demo import evaluation
from experiments.pretrain_demo.data import Data
from experiments.pretrain_demo.evaluation import Loss
from experiments.pretrain_demo.training import Trainer

_CREDITS = {
  "wordnet": "definitions and examples of [WordNet](https://wordnet.princeton.edu) 3.0, Copyright "
  "2006 by Princeton University; WordNet's licence (free use with its notice)",
  "movie_reviews": "Sentiment Polarity Dataset 2.0 by Bo Pang and Lillian Lee, Copyright 2004; "
  "[CC BY 4.0](http://creativecommons.org/licenses/by/4.0/); its text without its labels, spaces "
  "and control characters tidied",
  "state_union": "State of the Union addresses, 1945 to 2006; public domain",
  "inaugural": "inaugural addresses of the presidents of the United States; public domain",
  "books": "public-domain books: {books}",
  "sentences": "sentences made by `experiments/miniatures`, without the demonstration's test rows "
  "and without any filled template. A reader's remark follows most of them, with a word for their "
  "kind: the right one where a heading says that the reader looked, else any. So it is what stands "
  "before a text that decides whether the model judges it, and that is what a prompt can be tuned "
  "for; of the project, Apache-2.0",
  "instructions": "made-up instructions and lines of code from "
  "`experiments/pretrain_demo/instructions.py`; of the project, Apache-2.0",
}

_CARD = """\
---
language: en
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# wayjax's demo model

A small English language model with GPT-2's architecture and a byte-level BPE tokenizer of its own.
It comes with wayjax so that its commands can be tried in a minute, without a network: soft prompts
are tuned for it and read.

| | |
|---|---|
| parameters | {parameters:,}: {layers} layers of width {width}, {heads} heads, \
{vocabulary:,} tokens, {positions} positions |
| weights | {size:,} bytes, bfloat16 |
| training | {steps:,} steps of {step_tokens:,} tokens, {tokens:,} tokens in all, \
{minutes:.0f} minutes on {threads} CPU threads |
| held-out loss | {per_token:.3f} nats a token, {bits_per_byte:.3f} bits a byte |
| mean norm of the token embeddings | {norm:g}: soft prompts are measured by their distance to \
them |

## What it is not for

It shows how wayjax works, and nothing else. It knows nothing about the world, what it says is not
to be believed, and it was never made safe or polite: do not generate text with it. Numbers that are
measured on it say nothing about real language models. It repeats the views of its sources, such as
film critics of the 1990s and the presidents of one country.

## Data

A hundredth of the documents of each kind was never trained on. {sentence_share:g}% of the rows are
generated sentences and {instruction_share:g}% instructions and code; the rest is natural text.

| text | training tokens | held-out documents | nats a token | bits a byte |
|---|---|---|---|---|
{rows}

{credits}

The natural text is read through [NLTK](https://www.nltk.org)'s downloader. The loss is that of the
weights as they are stored, in windows of {positions} tokens.

## How to make it again

```
pip install -e '.[bench]'
{command}
```

in wayjax's repository. It can be interrupted, and the same command goes on. After training, all
that is added to the residual stream was multiplied by one factor, which gives the embeddings their
norm and leaves the model's output as it was; `layer_norm_epsilon` follows it.
"""


def model_card(
  trainer: Trainer, data: Data, losses: dict[str, Loss], size: int, norm: float, command: str
) -> str:
  """The card as Markdown.

  Args:
    trainer: that trained the model.
    data: what it was trained on.
    losses: held-out losses by corpus.
    size: bytes of the weights' file.
    norm: mean norm of the token embeddings.
    command: that makes the model again.
  """
  import torch

  settings, model = data.settings, trainer.model
  total = evaluation.overall(losses)
  rows = [
    f"| {name} | {data.sizes[name]:,} | {loss.documents:,} | {loss.per_token:.3f} | "
    f"{loss.bits_per_byte:.3f} |"
    for name, loss in losses.items()
  ]
  books = ", ".join(name.removesuffix(".txt") for name in settings.books)
  return _CARD.format(
    parameters=sum(p.numel() for p in model.parameters()),
    layers=settings.layers,
    width=settings.width,
    heads=settings.heads,
    vocabulary=model.config.vocab_size,
    positions=settings.positions,
    size=size,
    steps=settings.steps,
    step_tokens=settings.batch * settings.sequence,
    tokens=settings.tokens,
    minutes=trainer.seconds / 60,
    threads=torch.get_num_threads(),
    per_token=total.per_token,
    bits_per_byte=total.bits_per_byte,
    norm=norm,
    sentence_share=100 * settings.sentence_share if settings.sentences else 0,
    instruction_share=100 * settings.instruction_share,
    rows="\n".join(rows),
    credits="\n".join(f"- **{name}**: {_CREDITS[name].format(books=books)}." for name in losses),
    command=command,
  )
