"""python -m experiments.pretrain_demo: trains the demo model that is shipped with wayjax.

A GPT-2 of at most 12 MB and its tokenizer, from public-domain and permissively licensed English. It
can be interrupted with Ctrl-C at any time; the same command continues.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from experiments.pretrain_demo import corpus
from experiments.pretrain_demo.settings import NLTK_CORPORA, VOCABULARIES, Settings
from wayjax.errors import WayjaxError
from wayjax.exits import exit_code
from wayjax.files import replacing
from wayjax.run.stopping import StopRequest

_DEMO = Path(__file__).resolve().parents[2] / "wayjax" / "demo"
_PLACES = ("out", "work", "nltk_data", "books", "demo_data")


def _share(text: str) -> float:
  if not 0 <= (value := float(text)) < 1:
    raise argparse.ArgumentTypeError("a share is at least 0 and less than 1")
  return value


def _positive(text: str) -> int:
  if (value := int(text)) < 1:
    raise argparse.ArgumentTypeError("it must be at least 1")
  return value


def make_parser() -> argparse.ArgumentParser:
  """The command line's options and their defaults."""
  parser = argparse.ArgumentParser(
    prog="python -m experiments.pretrain_demo",
    description=__doc__.split("\n")[0],
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  add = parser.add_argument
  add("--out", type=Path, default=_DEMO / "model", help="folder for the model and its card")
  add("--work", type=Path, default=Path("runs/pretrain_demo"), help="folder for checkpoints")
  add("--nltk-data", help="NLTK's data folder; without it, where NLTK looks")
  add("--books", type=Path, help="folder of public-domain books, *.txt")
  add(
    "--demo-data", type=Path, default=_DEMO / "data", help="<task>/test.csv: kept out of training"
  )
  add("--corpora", nargs="+", choices=NLTK_CORPORA, default=list(NLTK_CORPORA), help="of NLTK")
  add("--sentences", type=int, default=200_000, help="generated sentences like the small tasks'")
  add("--sentence-share", type=_share, default=0.45, help="their share of the training rows")
  add("--instruction-share", type=_share, default=0.015, help="that of instructions and code")
  add("--vocabulary", type=_positive, default=4096, help="tokens of the tokenizer")
  add("--width", type=_positive, default=256, help="of the model")
  add("--layers", type=_positive, default=4, help="of the model")
  add("--heads", type=_positive, default=4, help="of a layer")
  add("--positions", type=_positive, default=512, help="of the longest sequence")
  add("--sequence", type=_positive, default=256, help="tokens of a training row")
  add("--batch", type=_positive, default=16, help="rows of a step")
  add("--steps", type=_positive, default=3500, help="the default takes about 40 minutes on 2 cores")
  add("--learning-rate", type=float, default=1.5e-3, help="its highest value")
  add("--seed", type=int, default=0, help="of weights, order and generated text")
  add("--embedding-norm", type=float, default=2.5, help="mean norm of the token embeddings")
  return parser


def make_settings(args: argparse.Namespace, avoid: list[str]) -> Settings:
  """A run's settings.

  Args:
    args: the options.
    avoid: texts of test rows.

  Raises:
    WayjaxError: options do not fit together.
  """
  if args.width % args.heads:
    raise WayjaxError(f"--width {args.width} is not a multiple of --heads {args.heads}")
  if args.sequence > args.positions:
    raise WayjaxError(f"--sequence {args.sequence} exceeds --positions {args.positions}")
  if args.vocabulary not in VOCABULARIES:
    raise WayjaxError(
      f"--vocabulary {args.vocabulary}: it must be from {VOCABULARIES[0]} to {VOCABULARIES[-1]}"
    )
  if args.sentence_share + args.instruction_share >= 1:
    raise WayjaxError("--sentence-share and --instruction-share leave no natural text")
  names = [name for name in vars(args) if name in Settings.__dataclass_fields__]
  options = {name: getattr(args, name) for name in names}
  options["corpora"] = tuple(dict.fromkeys(args.corpora))
  options["books"] = tuple(file.name for file in corpus.book_files(args.books))
  digest = hashlib.sha256("\n".join(avoid).encode()).hexdigest()[:16]
  return Settings(**options, test_rows=digest)


def claim(work: Path, settings: Settings) -> None:
  """Makes a folder a run's, or sees that it is this run's.

  Raises:
    WayjaxError: it is another run's.
  """
  work.mkdir(parents=True, exist_ok=True)
  path, own = work / "settings.json", json.loads(json.dumps(vars(settings)))
  if not path.is_file():
    with replacing(path) as partial:
      partial.write_text(json.dumps(own, indent=2) + "\n")
    return
  found = json.loads(path.read_text())
  if differing := [name for name in own if found.get(name) != own[name]]:
    raise WayjaxError(
      f"{work} holds a run with other settings ({', '.join(differing)}): give another --work "
      "folder, or the settings of that run"
    )


def command_line(args: argparse.Namespace) -> str:
  """The command that makes the same model, with the caller's places left open."""
  words = ["python -m experiments.pretrain_demo"]
  for name, default in vars(make_parser().parse_args([])).items():
    value = getattr(args, name)
    if name in _PLACES:
      words += ["--books BOOKS"] if name == "books" and value else []
    elif value != default:
      values = value if isinstance(value, list) else [value]
      words.append(" ".join([f"--{name.replace('_', '-')}", *map(str, values)]))
  return " ".join(words)


def run(args: argparse.Namespace) -> int:
  """Prepares, trains and writes the model.

  Returns:
    The exit code: 0, or 128 and the number of the signal that interrupted it.

  Raises:
    WayjaxError: an input is wrong or missing.
  """
  if missing := [name for name in ("torch", "nltk") if find_spec(name) is None]:
    raise WayjaxError(f"{' and '.join(missing)} not installed: pip install -e '.[bench]'")
  # Threads that spin while they wait take the cores from each other when something else runs: two
  # were three times slower. It is read when PyTorch is loaded.
  os.environ.setdefault("OMP_WAIT_POLICY", "passive")
  from experiments.pretrain_demo import data, export, training

  avoid = corpus.kept_out_texts(args.demo_data)
  settings = make_settings(args, avoid)
  export.check_size(settings)
  claim(args.work, settings)
  print("text and tokenizer ...", flush=True)
  prepared = data.prepare(
    settings, args.work, lambda: data.load_corpora(settings, args.nltk_data, args.books, avoid)
  )
  trainer = training.Trainer(prepared, args.work)
  total = sum(prepared.sizes.values())
  print(f"{total:,} tokens to train on; at step {trainer.step:,} of {settings.steps:,}", flush=True)
  logging.basicConfig(format="%(message)s", level=logging.INFO)  # what a stop request says
  with StopRequest() as stop:
    trainer.train(stop)
  if not trainer.done:
    print(f"stopped after step {trainer.step:,}: the same command continues")
    return 128 + stop.signal
  export.export(trainer, prepared, args.out, args.embedding_norm, command_line(args))
  print(f"{args.out} written")
  return 0


def main(argv: list[str] | None = None) -> int:
  """Runs the command line; returns its exit code."""
  return exit_code("pretrain_demo", lambda: run(make_parser().parse_args(argv)))


if __name__ == "__main__":
  sys.exit(main())
