"""The demo model's training: interrupted or not, its weights are the same; its folder loads."""

# ruff: noqa: E402

import json
import random
import re
import shutil
import signal
import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import jax.numpy as jnp
import nltk
import tiny
import transformers
from flax import nnx
from safetensors.torch import load_file

from experiments.pretrain_demo import __main__ as command
from experiments.pretrain_demo import corpus, evaluation, export, training
from experiments.pretrain_demo.data import Data
from experiments.pretrain_demo.settings import EOS
from wayjax.models import load_lm

TEXT = "it was a great dull film and the people of this country met in an old town again"
TEST_ROW = "a great film , and a dull town ."
OPTIONS = (
  "--corpora movie_reviews state_union inaugural --sentences 60 --vocabulary 300 --width 16 "
  "--layers 2 --heads 2 --positions 32 --sequence 16 --batch 4 --steps 6"
)
TINY = OPTIONS.split()


def text(rng: random.Random, words: int) -> str:
  return " ".join(rng.choice(TEXT.split()) for _ in range(words)) + "."


@pytest.fixture
def places(tmp_path, monkeypatch):
  """Toy corpora, test rows and sentences; gives the options that name them."""
  rng = random.Random(0)
  nltk_data, rows = tmp_path / "nltk_data", tmp_path / "rows" / "sst2"
  for name in ("movie_reviews/pos", "movie_reviews/neg", "state_union", "inaugural"):
    folder = nltk_data / "corpora" / name
    folder.mkdir(parents=True)
    for i in range(8):
      (folder / f"{i}.txt").write_text(text(rng, 60) + f"\nNumber {name} {i}. (Applause.)\n")
    (folder / "README").write_text("about the corpus")
  rows.mkdir(parents=True)
  (rows / "test.csv").write_text(f'text,label\n"{TEST_ROW}",1\n')

  def sentences(rng, count, avoid):
    assert list(avoid) == [TEST_ROW]
    for i in range(count):
      yield TEST_ROW.upper() if i % 10 == 0 else f"{i} {text(rng, 6)}"

  monkeypatch.setitem(
    sys.modules, "experiments.miniatures", types.SimpleNamespace(sentences=sentences)
  )
  monkeypatch.setattr(nltk.data, "path", [*nltk.data.path])
  return ["--nltk-data", str(nltk_data), "--demo-data", str(rows.parent)]


def run(places, tmp_path, name: str, *more: str) -> int:
  folders = ["--work", str(tmp_path / f"work-{name}"), "--out", str(tmp_path / name)]
  return command.main([*TINY, *places, *folders, *more])


@pytest.fixture
def made(places, tmp_path):
  """The folder of a model that was trained without interruption."""
  assert run(places, tmp_path, "model") == 0
  return tmp_path / "model"


@pytest.mark.parametrize("share", ["--sentence-share", "--instruction-share"])
def test_a_share_may_be_nothing(places, tmp_path, share):
  assert run(places, tmp_path, "model", share, "0", "--steps", "1") == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_ends_at_the_same_weights(
  made, places, tmp_path, monkeypatch, capsys, number
):
  rows, steps = Data.rows, []

  def rows_and_a_signal(self, step):
    steps.append(step)
    if step == 2 and steps.count(2) == 1:
      signal.raise_signal(number)
    return rows(self, step)

  monkeypatch.setattr(Data, "rows", rows_and_a_signal)
  assert run(places, tmp_path, "again") == 128 + number
  assert "stopped after step 3: the same command continues" in capsys.readouterr().out
  assert not (tmp_path / "again").exists()
  # The text is not read again: the tokens are kept.
  shutil.rmtree(tmp_path / "nltk_data")
  assert run(places, tmp_path, "again") == 0
  assert steps == list(range(6))
  for name in ("model.safetensors", "config.json", "tokenizer.json"):
    assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes()
  a, b = (
    load_file(tmp_path / f"work-{name}" / "checkpoint.safetensors") for name in ("again", "model")
  )
  assert a.keys() == b.keys()
  assert all(torch.equal(a[name], b[name]) for name in a)
  assert any(name.startswith("exp_avg_sq.") for name in a)


def test_wayjax_and_transformers_load_it_and_agree(made):
  lm = load_lm(str(made), precision="float32")
  theirs = transformers.GPT2LMHeadModel.from_pretrained(made, dtype=torch.float32).eval()
  assert theirs.config.activation_function == "gelu_new"
  assert lm.parameters == sum(p.numel() for p in theirs.parameters())
  ids_S = lm.tokenizer("It was a great film.\n", add_special_tokens=False)["input_ids"]
  with torch.no_grad():
    expected_SxV = theirs(torch.tensor([ids_S])).logits[0].numpy()
  model = nnx.merge(lm.graphdef, lm.params)
  hidden_SxD = model.hidden(
    model.embed(jnp.array(ids_S)), jnp.arange(len(ids_S)), tiny.causal(len(ids_S))
  )
  np.testing.assert_allclose(model.lm_head(hidden_SxD), expected_SxV, atol=2e-5)
  norm = command.make_parser().get_default("embedding_norm")
  assert float(jnp.linalg.norm(lm.table_VxD, axis=1).mean()) == pytest.approx(norm, rel=1e-2)


def test_python_keeps_its_smallest_numbers_afterwards(made):
  """Training flushes them to zero, for speed; whatever the process does next must not."""
  assert made.is_dir()
  assert sys.float_info.min / 2 > 0


def test_the_tokenizer_loses_nothing(made):
  lm = load_lm(str(made), precision="float32")
  auto = transformers.AutoTokenizer.from_pretrained(made)
  for sample in ("  two  spaces\tand é, 漢字 🙂\r\n\x00", "def f(x):\n    return x", ""):
    ids = lm.tokenizer(sample, add_special_tokens=False)["input_ids"]
    assert lm.tokenizer.decode(ids) == sample
    assert auto(sample, add_special_tokens=False)["input_ids"] == ids
  assert lm.tokenizer.eos_token == EOS
  assert lm.tokenizer(EOS)["input_ids"] == [lm.tokenizer.eos_token_id] == [0]
  config = json.loads((made / "config.json").read_text())
  assert config["eos_token_id"] == config["bos_token_id"] == 0


def test_the_card_says_what_it_is(made, tmp_path):
  card = (made / "README.md").read_text()
  assert "CC BY 4.0" in card
  assert "do not generate text" in card
  assert re.search(r"\| sentences \| [\d,]+ \| 1 \| \d\.\d{3} \| \d\.\d{3} \|", card)
  assert "python -m experiments.pretrain_demo --corpora movie_reviews" in card
  assert str(tmp_path) not in card


def test_neither_held_out_documents_nor_test_rows_are_trained_on(places, tmp_path, monkeypatch):
  parts = []
  monkeypatch.setattr(
    corpus, "split", lambda *args, split=corpus.split: parts.append(split(*args)) or parts[-1]
  )
  assert run(places, tmp_path, "model") == 0
  assert [part.name for part in parts] == [
    "movie_reviews", "state_union", "inaugural", "sentences", "instructions",
  ]  # fmt: skip
  for part in parts:
    assert part.held_out
    assert not set(part.held_out) & set(part.training)
    assert not any(TEST_ROW in document.lower() for document in part.training + part.held_out)
    assert not any("applause" in document.lower() for document in part.training)
  assert len(parts[0].training) == 15


def test_rescaling_keeps_what_is_computed():
  settings = command.make_settings(command.make_parser().parse_args(TINY), [])
  model = training.make_model(settings, 300)
  generator = torch.Generator().manual_seed(0)
  with torch.no_grad():
    for parameter in model.parameters():
      parameter.add_(torch.randn(parameter.shape, generator=generator) / 10)
  ids_BxT = torch.randint(300, (2, 20), generator=generator)
  with torch.no_grad():
    before_BxTxV = model(ids_BxT).logits
    factor = export.rescale(model, 4.0)
    after_BxTxV = model(ids_BxT).logits
  assert factor > 2
  assert model.transformer.wte.weight.norm(dim=1).mean().item() == pytest.approx(4.0, rel=1e-5)
  torch.testing.assert_close(after_BxTxV, before_BxTxV, atol=1e-5, rtol=1e-4)


def test_held_out_loss_counts_every_token_once():
  settings = command.make_settings(command.make_parser().parse_args(TINY), [])
  model = training.make_model(settings, 300)
  with torch.no_grad():
    model.transformer.wte.weight.zero_()  # all tokens are equally likely
  for count in (2, 17, 33, 34, 16 * 32 + 9):
    nats = evaluation._nats(model, np.zeros(count, np.uint16), 32)
    assert nats == pytest.approx((count - 1) * np.log(300), rel=1e-5)


def test_losses_are_those_of_transformers():
  settings = command.make_settings(command.make_parser().parse_args(TINY), [])
  model = training.make_model(settings, 300)
  ids_BxT = torch.randint(300, (40, 21), generator=torch.Generator().manual_seed(0))
  expected = model(ids_BxT, labels=ids_BxT).loss
  torch.testing.assert_close(training.token_losses(model, ids_BxT).mean(), expected)


def test_learning_rate_warms_up_and_falls_to_a_tenth():
  args = command.make_parser().parse_args(["--steps", "1000", "--learning-rate", "1"])
  settings = command.make_settings(args, [])
  rates = [training.learning_rate(step, settings) for step in range(1000)]
  assert rates[0] == 0.01
  assert max(rates) == rates[99] == rates[100] == 1
  assert rates[-1] == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--layers", "8"], r"a model of 8 layers .* takes 15\.0 MB in bfloat16, more than 12 MB"),
    (["--width", "250"], "is not a multiple of --heads 4"),
    (["--sequence", "1024"], "exceeds --positions 512"),
    (["--vocabulary", "10"], "from 257 to 65536"),
    (["--sentence-share", "0.99"], "leave no natural text"),
    (["--corpora", "wordnet"], "corpus wordnet is not in .* and cannot be downloaded"),
    (["--books", "."], "contains no .txt files"),
  ],
)
def test_wrong_inputs_end_in_one_sentence(options, message, places, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(nltk.data, "path", [])
  assert command.main([*places, "--work", "work", "--out", "out", *options]) == 2
  error = capsys.readouterr().err
  assert error.startswith("pretrain_demo: error: ")
  assert error.count("\n") == 1
  assert re.search(message, error)
  assert not (tmp_path / "out").exists()


def test_a_folder_of_another_run_is_refused(made, places, tmp_path, capsys):
  assert run(places, tmp_path, "model", "--seed", "7", "--batch", "2") == 2
  assert "other settings (batch, seed)" in capsys.readouterr().err


def test_documents_are_set_apart_by_the_end_of_a_text(made, tmp_path):
  lm = load_lm(str(made), precision="float32")
  tokens = load_file(tmp_path / "work-model" / "data.safetensors")
  spoken = lm.tokenizer.decode(tokens["sentences"].tolist()).split(EOS)
  assert spoken[0] == spoken[-1] == ""
  assert all(re.fullmatch(r"\d+ [a-z ]+\.", sentence) for sentence in spoken[1:-1])
