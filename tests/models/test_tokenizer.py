"""What a tokenizer may not do: make texts endless, take for ever, wait, lack embeddings."""

import base64
import json
import os
import time

import numpy as np
import pytest
import tiny
from forall import forall, outcome
from hypothesis import strategies as st
from safetensors.numpy import save_file

from wayjax.data.encoding import encode, token_ids
from wayjax.data.examples import Examples
from wayjax.data.targets import Target
from wayjax.data.tasks import Task
from wayjax.errors import WayjaxError
from wayjax.evaluation import Evaluator
from wayjax.models import load_lm
from wayjax.models import tokenizer as tokenizers
from wayjax.prompts import SoftPrompt, text_prompt
from wayjax.readers import READERS
from wayjax.tuning.members import make_members
from wayjax.tuning.settings import TrainSettings
from wayjax.tuning.sweep import tune_chunks

TOKENIZER, SETTINGS = "tokenizer.json", "tokenizer_config.json"


@pytest.fixture
def folder(tmp_path):
  return tiny.save_model(tmp_path / "model")


def rewrite(folder, name=TOKENIZER, **changes) -> dict:
  path = folder / name
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))
  return json.loads(path.read_text())


def load(folder):
  return load_lm(str(folder), precision="float32")


def replace(pattern, content):
  return {"type": "Replace", "pattern": pattern, "content": content}


def split(regex):
  pattern = {"Regex": regex}
  return {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}


DOUBLED = replace({"String": "a"}, "aa")
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


class TestTextsThatGrow:
  @pytest.mark.parametrize(
    "changes",
    [
      {"normalizer": {"type": "Sequence", "normalizers": [DOUBLED] * 40}},
      {"normalizer": {"type": "Sequence", "normalizers": [{"type": "ByteLevel"}] * 40}},
      {"normalizer": {"type": "Sequence", "normalizers": [replace({"Regex": "."}, "aa")] * 40}},
      {"normalizer": replace({"String": "a"}, "b" * 1_000_000)},
      {"normalizer": {"type": "Prepend", "prepend": "b" * 1_000_000}},
      {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTES] * 40}},
      {"decoder": {"type": "Sequence", "decoders": [DOUBLED] * 40}},
    ],
  )
  def test_replacements_that_multiply_are_refused_before_they_are_built(self, folder, changes):
    rewrite(folder, **changes)
    with pytest.raises(WayjaxError, match=r"tokenizer\.json replaces characters by more and more"):
      load(folder)

  def test_steps_within_steps_multiply_too(self, folder):
    steps = DOUBLED
    for _ in range(20):
      steps = {"type": "Sequence", "normalizers": [steps, DOUBLED]}
    rewrite(folder, normalizer=steps)
    with pytest.raises(WayjaxError, match="over 256 times longer"):
      load(folder)

  def test_a_file_that_the_settings_name_instead_is_checked_as_well(self, folder):
    content = rewrite(folder)
    content["normalizer"] = {"type": "Sequence", "normalizers": [DOUBLED] * 40}
    (folder / "tokenizer.4.0.0.json").write_text(json.dumps(content))
    rewrite(folder, SETTINGS, fast_tokenizer_files=["tokenizer.4.0.0.json"])
    with pytest.raises(WayjaxError, match=r"tokenizer\.4\.0\.0\.json replaces characters"):
      load(folder)

  def test_steps_of_real_tokenizers_are_accepted(self, folder):
    steps = [
      {"type": "Prepend", "prepend": "\u2581"},
      replace({"String": " "}, "\u2581"),
      replace({"Regex": " {2,}"}, " "),
      replace({"String": "``"}, '"'),
      {"type": "NFKC"},
      {"type": "Lowercase"},
    ]
    rewrite(folder, normalizer={"type": "Sequence", "normalizers": steps})
    assert load(folder).tokenizer("a b", add_special_tokens=False)["input_ids"]

  @pytest.mark.parametrize(("longest", "growth"), [(b"abc", 3), (b"x" * 5_000, 5_000)])
  def test_sentencepieces_table_counts_its_longest_replacement(self, longest, growth):
    table = (8).to_bytes(4, "little") + b"\xff" * 8 + b"a\0" + longest + b"\0b"
    step = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}
    assert tokenizers._growth(step) == growth

  @forall(
    20,
    steps=st.lists(
      st.tuples(st.text("ab", max_size=3), st.text("ab", max_size=3)).filter(lambda step: step[0]),
      max_size=5,
    ),
    text=st.text("abc", max_size=20),
  )
  def test_no_text_becomes_longer_than_is_reckoned(self, steps, text):
    bound = tokenizers._growth([replace({"String": old}, new) for old, new in steps])
    replaced = text
    for old, new in steps:
      replaced = replaced.replace(old, new)
    assert len(replaced) <= bound * len(text) + 1e-6

  @pytest.mark.parametrize(
    "normalizer",
    [5, [], {"type": "Replace"}, replace(5, 6), replace({}, None), {"type": ["Replace"]}]
    + [{"type": "Precompiled", "precompiled_charsmap": charsmap} for charsmap in ("%", 7, "")],
  )
  def test_steps_of_the_wrong_shape_are_refused_in_one_sentence(self, folder, normalizer):
    rewrite(folder, normalizer=normalizer)
    with pytest.raises(WayjaxError, match=r"the tokenizer in .* cannot be loaded: "):
      load(folder)


class TestWhatElseIsRefused:
  def test_dropout_which_gives_a_text_other_tokens_each_time(self, folder):
    rewrite(folder, model=rewrite(folder)["model"] | {"dropout": 0.1})
    with pytest.raises(
      WayjaxError, match=r"tokenizer\.json sets dropout to 0\.1, so that a text has"
    ):
      load(folder)
    rewrite(folder, model=rewrite(folder)["model"] | {"dropout": 0.0})
    load(folder)

  def test_a_tokenizer_that_leaves_nothing_of_a_line(self, folder):
    rewrite(folder, model={"type": "BPE", "vocab": {}, "merges": []})
    with pytest.raises(WayjaxError, match="cannot encode a line of text: no tokens are left of it"):
      load(folder)

  @pytest.mark.parametrize(
    ("name", "key"),
    [(TOKENIZER, "added_tokens"), (SETTINGS, "extra_special_tokens"), (SETTINGS, "anything")],
  )
  def test_more_added_tokens_than_any_tokenizer_has(self, folder, name, key):
    rewrite(folder, name, **{key: [f"<{i}>" for i in range(2**15 + 1)]})
    with pytest.raises(WayjaxError, match=rf"{name} adds 32,769 tokens to its vocabulary; 32,768"):
      load(folder)


class TestRegularExpressions:
  @pytest.mark.parametrize("regex", ["(a+)+$", r"(\s|\s\s)+$", "(.*)*(.*)*x"])
  def test_one_that_panics_on_a_line_is_refused_when_it_is_loaded(self, folder, regex):
    for changes in (
      {"pre_tokenizer": split(regex)},
      {"pre_tokenizer": BYTES, "normalizer": replace({"Regex": regex}, "x")},
    ):
      rewrite(folder, **changes)
      with pytest.raises(WayjaxError, match=r"cannot encode a line of text: Onig.*retry-limit"):
        load(folder)

  def test_one_that_panics_on_some_texts_only_is_refused_where_they_are(self, folder):
    rewrite(folder, pre_tokenizer=split("(q+)+$"))
    tokenizer = load(folder).tokenizer
    assert token_ids(tokenizer, ["quick"])
    with pytest.raises(WayjaxError, match=r"tokenizer cannot encode the texts: Onig.*retry-limit"):
      token_ids(tokenizer, ["q" * 60 + "b"])

  def test_one_that_takes_for_ever_is_refused_in_time(self, folder, monkeypatch):
    monkeypatch.setattr(tokenizers, "_SECONDS", 0.3)
    rewrite(folder, pre_tokenizer=split("(?:[ab]|[ab][ab]){1,17}[^ab1x.yz ]"))
    monkeypatch.setattr(tokenizers, "_LINE", "a" * 2_000)
    started = time.monotonic()
    with pytest.raises(WayjaxError, match="takes more than 0 seconds for a line of text"):
      load(folder)
    assert time.monotonic() - started < 10


class TestFiles:
  NAMES = (
    *(TOKENIZER, SETTINGS, "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("vocab.json", "merges.txt", "additional_chat_templates/a.jinja"),
  )

  @pytest.mark.parametrize("name", NAMES)
  def test_a_pipe_among_the_files_is_refused_and_nothing_waits_for_it(self, folder, name):
    path = folder / name
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(WayjaxError, match=r"is not a regular file|has no tokenizer"):
      load(folder)

  @pytest.mark.parametrize("name", NAMES)
  def test_a_file_beyond_all_bounds_is_not_read(self, folder, name):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
      file.truncate(2**40)  # it takes no room
    with pytest.raises(WayjaxError, match=r"cannot be read: it has more than \d+ MiB"):
      load(folder)

  def test_folders_and_dead_links_are_passed_over(self, folder):
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer_old.json").mkdir()
    (folder / "added_tokens.json").symlink_to(folder / "nowhere")
    load(folder)


class TestIds:
  """Tokens and embeddings that do not meet."""

  def without(self, folder, dropped) -> None:
    """Takes tokens away, whose ids become holes."""
    model = rewrite(folder)["model"]
    vocab = {token: i for token, i in model["vocab"].items() if i not in dropped}
    rewrite(folder, model={**model, "vocab": vocab})

  def added(self, folder, content, special=True) -> None:
    """Adds a token, which has the first number beyond a table of 257 rows."""
    token = {"id": 257, "content": content, "special": special}
    token |= dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized"], False)
    rewrite(folder, added_tokens=[*rewrite(folder)["added_tokens"], token])
    config = {**tiny.CONFIGS["gpt2"], "vocab_size": 257}
    tiny.save_config(folder, config)
    save_file(tiny.tensors(config), folder / "model.safetensors")

  def test_the_table_reaches_to_the_largest_id(self, folder):
    dropped = range(150, 190)
    self.without(folder, dropped)
    lm = load(folder)
    assert len(lm.tokenizer) == 217
    assert lm.table_VxD.shape == (257, 32)
    assert lm.vocab_size == 261
    assert lm.unused_U.tolist() == list(dropped)

  def test_a_vocabulary_without_holes_has_no_mask(self, lm):
    assert lm.unused_U is None

  def test_what_lacks_tokens_at_its_end_has_a_shorter_table(self, folder):
    self.without(folder, range(200, 257))
    lm = load(folder)
    assert lm.table_VxD.shape == (200, 32)
    assert lm.unused_U is None

  @pytest.mark.parametrize(("special", "key"), [(True, "pad_token"), (False, "unk_token")])
  def test_an_added_token_beyond_the_table_that_nothing_uses_is_accepted(
    self, folder, special, key
  ):
    self.added(folder, "<extra>", special)
    rewrite(folder, SETTINGS, **{key: "<extra>"})
    lm = load(folder)
    assert lm.table_VxD.shape == (257, 32)
    assert lm.tokenizer("<extra>")["input_ids"] == [257]

  def test_an_ordinary_token_beyond_the_table_is_refused_by_name(self, folder):
    model = rewrite(folder)["model"]
    rewrite(folder, model={**model, "vocab": model["vocab"] | {"th": 300}})
    message = "258 tokens, but the model has only 261 embeddings, and none for 'th', number 300"
    with pytest.raises(WayjaxError, match=message):
      load(folder)

  def test_an_end_of_sequence_beyond_the_table_is_refused(self, folder):
    self.added(folder, "<end>")
    rewrite(folder, SETTINGS, eos_token="<end>")
    with pytest.raises(WayjaxError, match="none for '<end>', number 257: use the tokenizer"):
      load(folder)

  def test_what_uses_a_token_beyond_the_table_is_refused_by_name(self, folder):
    self.added(folder, "<extra>")
    lm = load(folder)
    message = "contains the token '<extra>', number 257, but the model has only 257 embeddings: "
    target = Target("text", "t", "a<extra>b")
    with pytest.raises(WayjaxError, match=f"target 't' {message}"):
      make_members(lm, [target], (0.0,), (1,))
    with pytest.raises(WayjaxError, match=f"target 't' {message}"):
      text_prompt(lm, target)
    with pytest.raises(WayjaxError, match=f"target 't' {message}"):
      READERS["nearest"](lm, [SoftPrompt(np.zeros((3, 32)), lm.name, target)])
    for words, text, what in (
      (("bad", "good"), "x<extra>", "an example"),
      (("bad", "<extra>"), "x", "a label"),
    ):
      task = Task("mine", "It is %s.", words, ("a", "b"))
      examples = encode(lm.tokenizer, task, Examples((text,), (0,)))
      with pytest.raises(WayjaxError, match=f"{what} {message}"):
        Evaluator(lm, examples)
      with pytest.raises(WayjaxError, match=f"{what} {message}"):
        next(tune_chunks(lm, examples, [], TrainSettings(1, 0.1, 1, None)))


@forall(
  8,
  name=st.sampled_from(["normalizer", "pre_tokenizer", "decoder", "model"]),
  kind=st.sampled_from(["Replace", "Sequence", "Split", "ByteLevel", "Precompiled", "NFC"]),
  value=st.none() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=2),
)
def test_a_tokenizer_of_any_steps_loads_or_is_refused_in_one_sentence(tmp_path, name, kind, value):
  folder = tiny.save_model(tmp_path / "model")
  part = {"type": kind, "pattern": {"String": value}, "content": value, "normalizers": value}
  rewrite(folder, **{name: part | {"pretokenizers": value, "precompiled_charsmap": value}})
  lm = outcome(load_lm, str(folder), precision="float32")
  assert lm is None or np.asarray(lm.table_VxD).shape[1] == 32
