"""Tokenizers of SentencePiece's kind in GGUF files: ids, texts, and what can be wrong."""

import re
from itertools import pairwise

import pytest
from forall import forall, outcome
from gguf import TokenType
from hypothesis import strategies as st
from tiny import rewrite_gguf

from wayjax.data.frame import make_frame, own_beginning
from wayjax.errors import WayjaxError
from wayjax.models import load_lm
from wayjax.models.gguf_tokenizer import build_tokenizer

SPACE = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CONTROL, DEFINED = ["<unk>", "<s>", "</s>"], ["<tag>", "  ", "\n\n"]
APART = re.compile(f"({'|'.join(CONTROL + DEFINED)})")  # before all else
LETTERS = [SPACE, "a", "b", "c", "é"]
# Pieces that are made of others, the best first.
MADE = [f"{SPACE}a", "bc", "ab", f"{SPACE}ab", "abc", f"{SPACE}abc", SPACE * 2]


def metadata(made=MADE, order=None, **changes):
  """A file's fields: `changes` by their names without `tokenizer.ggml.`; None takes one away."""
  pieces = [*LETTERS, *made]
  fields = {
    "model": "llama",
    "tokens": [*CONTROL, *BYTES, *DEFINED, *pieces],
    "token_type": [2, 3, 3] + [6] * 256 + [4] * len(DEFINED) + [1] * len(pieces),
    "scores": [0.0] * (259 + len(DEFINED)) + (order or [-float(i) for i in range(len(pieces))]),
    **changes,
  }
  return {f"tokenizer.ggml.{key}": field for key, field in fields.items() if field is not None}


def ids_of(fields, text):
  """As llama.cpp finds them, without the beginning of sequence."""
  tokens, scores = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.scores"]
  ids = {token: i for i, token in enumerate(tokens)}
  found = []
  for part in filter(None, APART.split(text)):
    if part in CONTROL + DEFINED:
      found.append(ids[part])
      continue
    prefix = " " if fields.get("tokenizer.ggml.add_space_prefix", True) else ""
    for symbol in put_together((prefix + part).replace(" ", SPACE), ids, scores):
      fallback = [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]
      found += [ids[symbol]] if symbol in ids else fallback
  return found


def put_together(text, ids, scores):
  """The pair that makes the piece with the highest score becomes one, the left one of several."""
  symbols = list(text)
  while pairs := [
    (scores[ids[x + y]], -i) for i, (x, y) in enumerate(pairwise(symbols)) if x + y in ids
  ]:
    at = -max(pairs)[1]
    symbols[at : at + 2] = ["".join(symbols[at : at + 2])]
  return symbols


def plain(fields, text):
  return build_tokenizer(fields, "file")(text, add_special_tokens=False)["input_ids"]


TEXTS = st.lists(
  st.text("abc ", min_size=5, max_size=20)
  | st.sampled_from(["é", "d", "\n", "😀", "  ", "<s>", "</s>", "<unk>", "<tag>", "\n\n"]),
  max_size=10,
).map("".join)


PAIRS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=10, max_size=25)


@st.composite
def vocabularies(draw):
  """Pieces that are pairs of other ones, with any scores, which no two have in common."""
  pieces = list(LETTERS)
  for left, right in draw(PAIRS):
    made = pieces[left % len(pieces)] + pieces[right % len(pieces)]
    if made not in pieces and len(made) < 10:
      pieces.append(made)
  scores = draw(st.permutations([-float(i) for i in range(len(pieces))]))
  return pieces[len(LETTERS) :], scores


@forall(100, vocabulary=vocabularies(), text=TEXTS, prefix=st.booleans())
def test_ids_are_those_of_llama_cpp(vocabulary, text, prefix):
  fields = metadata(*vocabulary, add_space_prefix=prefix)
  assert plain(fields, text) == ids_of(fields, text)


@forall(50, text=TEXTS | st.text(st.characters(exclude_categories=["Cs"])), prefix=st.booleans())
def test_text_survives_a_round_trip(text, prefix):
  if prefix:  # the space that is put after a special token stays
    text = APART.sub("a", text)
  tokenizer = build_tokenizer(metadata(add_space_prefix=prefix), "file")
  back = tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"])
  assert back == text.replace(SPACE, " ")


class TestText:
  def test_a_space_stands_before_each_text_between_special_tokens(self):
    fields = metadata()
    tokens = fields["tokenizer.ggml.tokens"]
    assert [tokens[i] for i in plain(fields, "ab</s>ab<tag>")] == [
      f"{SPACE}ab", "</s>", f"{SPACE}ab", "<tag>"
    ]  # fmt: skip
    assert [tokens[i] for i in plain(metadata(add_space_prefix=False), "ab ab")] == [
      "ab", f"{SPACE}ab"
    ]  # fmt: skip

  def test_a_token_alone_has_its_own_text(self):
    tokenizer = build_tokenizer(metadata(add_space_prefix=False), "file")
    tokens = [f"{SPACE}ab", "c", "<0x0A>", "  ", "<s>", SPACE]
    texts = [tokenizer.decode([i]) for i in tokenizer.convert_tokens_to_ids(tokens)]
    assert texts == [" ab", "c", "\n", "  ", "<s>", " "]

  def test_the_space_that_is_put_first_is_taken_away_again(self):
    tokenizer = build_tokenizer(metadata(), "file")
    assert tokenizer.decode(plain(metadata(), "ab")) == "ab"
    assert tokenizer.decode(plain(metadata(), " ab")) == " ab"

  def test_a_byte_stands_for_itself_only_where_no_token_does(self):
    fields = metadata()
    assert plain(fields, "\u20ac") == [fields["tokenizer.ggml.tokens"].index(f"{SPACE}")] + [
      BYTES.index(name) + 3 for name in ("<0xE2>", "<0x82>", "<0xAC>")
    ]

  def test_the_name_of_a_byte_is_no_byte(self):
    letters = list("<0xA>")
    fields = metadata([*letters, "<0", "<0x", "<0x0", "<0x0A"], add_space_prefix=False)
    tokens = fields["tokenizer.ggml.tokens"]
    assert [tokens[i] for i in plain(fields, "<0x0A>\n")] == ["<0x0A", ">", "<0x0A>"]

  @pytest.mark.parametrize(
    ("says", "around"),
    [
      ({}, ("<s>", "")),
      ({"add_bos_token": False}, ("", "")),
      ({"add_eos_token": True}, ("<s>", "</s>")),
      ({"bos_token_id": 2, "eos_token_id": 1, "add_eos_token": True}, ("</s>", "<s>")),
      ({"bos_token_id": 5000}, ("", "")),
    ],
  )
  def test_what_stands_around_a_text(self, says, around):
    tokenizer = build_tokenizer(metadata(**says), "file")
    text = tokenizer.convert_ids_to_tokens(tokenizer.encode("ab"))
    assert text == [token for token in (around[0], f"{SPACE}ab", around[1]) if token]
    assert own_beginning(tokenizer) == around[0]
    assert tokenizer.convert_ids_to_tokens(plain(metadata(**says), "ab")) == [f"{SPACE}ab"]

  def test_roles(self):
    tokenizer = build_tokenizer(metadata(), "file")
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (1, 2, 0)
    tokenizer = build_tokenizer(metadata(unknown_token_id=2, eos_token_id=0), "file")
    assert (tokenizer.eos_token, tokenizer.unk_token) == ("<unk>", "</s>")
    assert plain(metadata(unknown_token_id=2), "<unk>") == [0]
    assert tokenizer.decode([1, 2, 0], skip_special_tokens=True) == ""

  def test_the_chat_template_comes_from_the_file(self):
    template = "{{ bos_token }}{{ messages[0]['content'] }}</s>"
    fields = metadata() | {"tokenizer.chat_template": template}
    frame = make_frame(build_tokenizer(fields, "file"), chat=True)
    assert (frame.before, frame.before_ids, frame.reply_ids) == ("<s>", (1,), (2,))

  def test_padding_at_the_end_is_left_out(self):
    fields = metadata()
    size = len(fields["tokenizer.ggml.tokens"])
    fields["tokenizer.ggml.tokens"] += ["[PAD1]", "[PAD2]"]
    fields["tokenizer.ggml.token_type"] += [TokenType.UNUSED] * 2
    fields["tokenizer.ggml.scores"] += [0.0] * 2
    assert len(build_tokenizer(fields, "file")) == size

  def test_a_model_is_loaded_with_it(self, tmp_path):
    tokens = [*BYTES, "</s>", f"{SPACE}"]
    fields = metadata(
      tokens=tokens, token_type=[6] * 256 + [3, 1], scores=[0.0] * 258, eos_token_id=256, pre=None
    )
    lm = load_lm(str(rewrite_gguf(tmp_path / "model.gguf", fields=fields)), precision="float32")
    assert lm.tokenizer("a", add_special_tokens=False)["input_ids"] == [257, ord("a")]
    assert lm.table_VxD.shape == (258, 32)


class TestWhatIsWrong:
  def refused(self, fields, message):
    with pytest.raises(WayjaxError, match=message) as caught:
      build_tokenizer(fields, "file")
    assert "\n" not in str(caught.value)

  @pytest.mark.parametrize("key", ["tokens", "scores", "token_type"])
  def test_a_field_is_missing(self, key):
    self.refused(metadata(**{key: None}), f"file has no tokenizer.ggml.{key}, without which")

  @pytest.mark.parametrize(
    ("key", "position", "value", "message"),
    [
      ("scores", slice(5), [], "do not have one score each"),
      ("scores", -1, float("nan"), f"the score of '{SPACE}{SPACE}' is not a number"),
      ("scores", -1, "high", "must be real number, not str"),
      ("token_type", slice(5), [], "do not have one type each"),
      ("tokens", 5, "<0x03>", "not distinct"),
      ("tokens", slice(13, 15), ["x", "y"], "lacks tokens for 2 bytes: <0x0A>, <0x0B>"),
      ("tokens", -1, "ab\u20ac", "has the piece 'ab\u20ac', but none for '\u20ac'"),
      ("tokens", -1, "a" * 513, "has a piece of 513 characters; 512 are the most"),
    ],
  )
  def test_a_field_is_damaged(self, key, position, value, message):
    fields = metadata()
    fields[f"tokenizer.ggml.{key}"][position] = value
    self.refused(fields, f"the tokenizer in file cannot be built: .*{message}")


@forall(
  10,
  key=st.sampled_from(["tokens", "scores", "token_type", "add_space_prefix", "bos_token_id"]),
  value=st.lists(st.none() | st.integers() | st.floats() | st.text(), max_size=3)
  | st.integers()
  | st.text(),
)
def test_any_other_value_is_refused_in_one_sentence_or_read(key, value):
  outcome(build_tokenizer, metadata(**{key: value}), "file")
