"""GGUF files: what they contain, how it is read, and everything that can be wrong with them."""

import os
import struct
import tracemalloc

import gguf
import jax
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Quantisation
from gguf import GGUFValueType
from tiny import GGUF_LLAMA as LLAMA
from tiny import rewrite_gguf as rewrite
from tokenizers.pre_tokenizers import ByteLevel

from wayjax.data.examples import load_data
from wayjax.data.frame import make_frame, own_beginning
from wayjax.data.tasks import get_task
from wayjax.errors import WayjaxError
from wayjax.models import FAMILIES, gguf_file, gguf_reader, load_lm
from wayjax.models.gguf_byte_level import PRE_TOKENIZERS
from wayjax.models.gguf_tokenizer import build_tokenizer

TOKENS = ["<|endoftext|>", *sorted(ByteLevel.alphabet())]


def load(path):
  return load_lm(str(path), precision="float32")


@pytest.fixture
def path(tmp_path):
  return tmp_path / "model.gguf"


def test_everything_comes_from_the_file():
  lm = load(LLAMA)
  assert lm.revision is None
  assert lm.max_positions == 64
  assert lm.tokenizer.eos_token == "<|endoftext|>"
  assert lm.table_VxD.shape == (258, 32)
  stored = {tensor.name: tensor for tensor in gguf.GGUFReader(LLAMA).tensors}
  table = gguf.dequantize(stored["token_embd.weight"].data, stored["token_embd.weight"].tensor_type)
  np.testing.assert_array_equal(lm.table_VxD, table)
  assert lm.parameters == sum(int(tensor.n_elements) for tensor in stored.values())


def test_a_head_that_the_file_lacks_is_tied(path):
  lm = load(rewrite(path, without=["output.weight"]))
  assert lm.parameters == load(LLAMA).parameters - 258 * 32
  leaves = [leaf for leaf in jax.tree.leaves(lm.params) if leaf.shape == (258, 32)]
  assert leaves[0] is leaves[1]


def test_divisors_slow_the_rotation(path):
  divisors = np.array([1, 2, 4, 8], np.float32)
  read = FAMILIES["llama"].read_config
  plain = gguf_file.GGUFFile(LLAMA, FAMILIES)
  slowed = gguf_file.GGUFFile(rewrite(path, tensors={"rope_freqs.weight": divisors}), FAMILIES)
  np.testing.assert_allclose(
    np.array(read(slowed.config).frequencies) * divisors, read(plain.config).frequencies
  )
  load(path)  # the loader expects the tensor


def dequantisable():
  """Every type that the library can dequantise."""
  for kind in Quantisation:
    try:
      shape = gguf.quants.quant_shape_to_byte_shape((1, 256), kind)
      gguf.dequantize(np.zeros(shape, np.uint8), kind)
    except (NotImplementedError, ValueError):
      continue
    yield kind


def stored(path, data, kind, **options):
  """A tensor of a file that contains nothing else."""
  writer = gguf.GGUFWriter(path, "llama", **options)
  writer.add_tensor("a", data, raw_dtype=kind)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()
  return gguf.GGUFReader(path).tensors[0]


@pytest.mark.parametrize("kind", list(dequantisable()), ids=lambda kind: kind.name)
def test_every_quantisation_is_read_in_parts_as_it_is_whole(kind, path, rng, monkeypatch):
  monkeypatch.setattr(gguf_file, "_ROWS", 4)
  # Small bytes, because random ones may be scales that are not numbers.
  data = rng.integers(50, size=gguf.quants.quant_shape_to_byte_shape((10, 256), kind))
  tensor = stored(path, data.astype(np.uint8), kind)
  whole = gguf.dequantize(tensor.data, kind)
  assert whole.shape == (10, 256)
  np.testing.assert_array_equal(np.concatenate(list(gguf_file._dequantise(tensor, path))), whole)


@pytest.mark.parametrize("kind", [Quantisation.F32, Quantisation.BF16, Quantisation.Q8_0])
def test_a_vector_is_longer_than_a_part(kind, path, monkeypatch):
  monkeypatch.setattr(gguf_file, "_ROWS", 4)
  vector = np.arange(64, dtype=np.float32)
  tensor = stored(path, gguf.quantize(vector, kind), kind)
  np.testing.assert_allclose(*gguf_file._dequantise(tensor, path), vector, atol=0.3)


def test_there_are_many_quantisations():
  names = {kind.name for kind in dequantisable()}
  assert {"F16", "BF16", "Q4_0", "Q4_1", "Q8_0", "Q2_K", "Q4_K", "Q6_K", "IQ4_XS"} <= names


class TestWhatIsWrong:
  def refused(self, path, message):
    with pytest.raises(WayjaxError, match=message) as caught:
      load(path)
    assert "\n" not in str(caught.value)

  @pytest.mark.parametrize("share", np.linspace(0.001, 0.999, 25))
  def test_cut_short(self, share, path):
    whole = LLAMA.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    self.refused(path, "cut short")

  def test_an_absurd_count(self, path):
    whole = bytearray(LLAMA.read_bytes())
    at = whole.index(b"tokenizer.ggml.token_type") + len(b"tokenizer.ggml.token_type") + 8
    whole[at : at + 8] = (2**62).to_bytes(8, "little")  # the length of the array
    path.write_bytes(whole)
    self.refused(path, "damaged or cut short")

  @pytest.mark.parametrize("start", [b"", b"GGML", b"PK\x03\x04"])
  def test_wrong_magic(self, start, path):
    path.write_bytes(start + LLAMA.read_bytes()[4:] if start else b"")
    self.refused(path, f"is not a GGUF file: it begins with {start!r}".replace("\\", r"\\"))

  def test_unknown_version(self, path):
    whole = bytearray(LLAMA.read_bytes())
    whole[4] = 9
    path.write_bytes(whole)
    self.refused(path, "has a version, .*version 9")

  def test_unknown_tensor_type(self, path):
    whole = LLAMA.read_bytes()
    at = whole.index(b"output_norm.weight") + len(b"output_norm.weight") + 4 + 8
    path.write_bytes(whole[:at] + (31).to_bytes(4, "little") + whole[at + 4 :])
    self.refused(path, "tensors of a type, that the gguf package does not read .*31")

  def test_byte_order(self, path):
    stored(path, np.ones((2, 2), np.float32), None, endianess=gguf.GGUFEndian.BIG)
    self.refused(path, "has another byte order")

  @pytest.mark.parametrize("divisors", [[1, 2, 4], [1, 2, 4, -8]])
  def test_divisors(self, divisors, path):
    rewrite(path, tensors={"rope_freqs.weight": np.array(divisors, np.float32)})
    self.refused(path, "rotary divisors")

  def test_missing_file(self, path):
    self.refused(path, f"model file '{path}' does not exist")

  def test_missing_and_unknown_tensors(self, path):
    extra = {"blk.0.attn_q_norm.weight": np.ones(8, np.float32)}
    rewrite(path, without=["blk.1.ffn_up.weight"], tensors=extra)
    self.refused(
      path,
      r"missing: layers.1.mlp.up_proj.weight; not part of this model: blk.0.attn_q_norm.weight",
    )

  def test_wrong_shape(self, path):
    rewrite(path, tensors={"blk.0.attn_q.weight": np.ones((32, 16), np.float32)})
    self.refused(path, r"wrong shape: blk.0.attn_q.weight is \(32, 16\), expected \(32, 32\)")

  def test_no_embeddings(self, path):
    rewrite(path, without=["token_embd.weight"])
    self.refused(path, "lacks the tensor token_embd.weight")

  @pytest.mark.parametrize("name", ["gptneox", "mamba", "gptj"])
  def test_architecture(self, name, path):
    rewrite(path, fields={"general.architecture": name})
    self.refused(
      path,
      f"architecture '{name}'; from GGUF files wayjax reads gemma2, gemma3, gpt2, llama, olmo2",
    )

  @pytest.mark.parametrize(
    ("field", "value", "message"),
    [
      ("llama.expert_count", 8, "llama.expert_count to 8, which wayjax does not implement"),
      ("llama.attention.sliding_window", 64, "llama.attention.sliding_window to 64"),
      ("llama.rope.scaling.type", "yarn", "llama.rope.scaling.type to yarn"),
      ("llama.rope.scaling.factor", 2.0, "llama.rope.scaling.factor to 2.0"),
      ("llama.context_length", None, "lacks llama.context_length"),
      ("llama.rope.dimension_count", 4, "rotates 4 of a head's 8 dimensions"),
      ("llama.attention.head_count", 0, "num_attention_heads to 0"),
      ("llama.attention.head_count", [4, 4], r"num_attention_heads to \[4, 4\]"),
      ("llama.block_count", 0, "num_hidden_layers to 0"),
      ("split.count", 3, "one of 3 parts"),
      ("tokenizer.ggml.model", "t5", "kind 't5'; from GGUF files wayjax reads byte-level BPE"),
      ("tokenizer.ggml.model", ["llama"], r"tokenizer of kind \['llama'\]"),
      ("tokenizer.ggml.model", "llama", "no tokenizer.ggml.scores"),
      ("tokenizer.ggml.pre", "falcon", "pre-tokenizer 'falcon'; wayjax implements gpt-2"),
      ("tokenizer.ggml.pre", None, "pre-tokenizer None"),
      ("tokenizer.ggml.pre", ["qwen2"], r"pre-tokenizer \['qwen2'\]"),
      ("llama.attention.causal", 0, "llama.attention.causal to 0"),
      ("llama.rope.scaling.attn_factor", 1.5, "attn_factor to 1.5"),
      ("tokenizer.ggml.tokens", None, "no tokenizer.ggml.tokens"),
      ("tokenizer.ggml.tokens", ["a", "a"], "cannot be built"),
      ("tokenizer.ggml.merges", ["x"], "cannot be built"),
      ("tokenizer.ggml.merges", ["x yz"], "cannot be built"),
      ("tokenizer.ggml.eos_token_id", None, "no end-of-sequence token"),
      ("tokenizer.ggml.eos_token_id", 5000, "no end-of-sequence token"),
    ],
  )
  def test_field(self, field, value, message, path):
    rewrite(path, fields={field: value})
    self.refused(path, message)

  def test_an_option_that_is_off_is_accepted(self, path):
    off = {"llama.expert_count": 0, "llama.rope.scaling.type": "none"}
    load(rewrite(path, fields=off | {"llama.rope.scaling.factor": 1.0}))

  def test_a_padding_token_that_is_cut_off_does_no_harm(self, path):
    load(rewrite(path, fields={"tokenizer.ggml.padding_token_id": 5000}))

  def described(self, path, tensors=b"", fields=b"", counts=(0, 0)):
    """A file of this description, and some data."""
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, *counts) + fields + tensors + bytes(512))

  def test_tensors_that_overlap(self, path):
    whole = bytearray(LLAMA.read_bytes())
    for name in (b"blk.0.attn_q.weight", b"blk.1.attn_q.weight"):
      at = whole.index(name) + len(name)
      (dimensions,) = struct.unpack_from("<I", whole, at)
      at += 4 + 8 * dimensions + 4  # where its offset stands
      whole[at : at + 8] = bytes(8)
    path.write_bytes(whole)
    self.refused(path, r"damaged or cut short \(\S+ overlaps with \S+\)")

  def test_many_tensors_of_the_same_bytes(self, path):
    """Each alone fits; together they would take thousands of times the file's memory."""
    tensors = [
      struct.pack("<Q5sIQIQ", 5, b"%05d" % i, 1, 64, 0, 0) for i in range(2_000)
    ]  # 64 float32s at offset 0
    self.described(path, b"".join(tensors), counts=(len(tensors), 0))
    self.refused(path, "00001 overlaps with 00000")

  def test_a_tensor_that_lies_in_the_metadata(self, path):
    self.described(path, struct.pack("<Q1sIQIQ", 1, b"a", 1, 4, 0, 2**64 - 64), counts=(1, 0))
    self.refused(path, "a overlaps with the metadata")

  @pytest.mark.parametrize("counts", [(2**14 + 1, 0), (0, 2**12 + 1), (2**63, 0), (0, 2**63)])
  def test_more_fields_or_tensors_than_any_model_has(self, path, counts):
    self.described(path, counts=counts)
    self.refused(path, r"it has [\d,]+ (fields of metadata|tensors)")

  @pytest.mark.parametrize(
    ("array", "message"),
    [
      (struct.pack("<IQ", 0, 2**22 + 1) + bytes(2**22 + 1), "an array of 4,194,305 elements"),
      (struct.pack("<IQ", 9, 1) + struct.pack("<IQ", 0, 0), "an array of arrays"),
      (struct.pack("<IQ", 8, 1) + struct.pack("<Q", 2**63), "byte 9,223,372,036,854,775,"),
      (struct.pack("<IQ", 8, 2**22), "cut short"),
      (struct.pack("<IQ", 8, 1) + struct.pack("<Q2s", 2, b"\xff\xfe"), "'utf-8' codec"),
      (struct.pack("<IQ", 77, 1), "77. is not a valid"),
    ],
  )
  def test_an_array_that_no_model_has(self, path, array, message):
    fields = struct.pack("<Q1sI", 1, b"a", 9) + array
    self.described(path, fields=fields, counts=(0, 1))
    self.refused(path, message)

  @pytest.mark.parametrize("of", ["numbers", "strings"])
  def test_a_long_array_takes_little_memory_and_time(self, path, of):
    """The library alone takes 400 bytes and 16 microseconds for each of its elements."""
    count = 500_000
    array = struct.pack("<IQ", 0 if of == "numbers" else 8, count)
    array += bytes(count if of == "numbers" else 8 * count)
    self.described(path, fields=struct.pack("<Q1sI", 1, b"a", 9) + array, counts=(0, 1))
    tracemalloc.start()
    try:
      metadata, _ = gguf_reader.read_gguf(path)
      _, most = tracemalloc.get_traced_memory()
    finally:
      tracemalloc.stop()
    assert metadata["a"] == ([0] if of == "numbers" else [""]) * count
    assert most < 50 * count

  @pytest.mark.parametrize("kind", [*gguf.GGUFReader.gguf_scalar_to_np, GGUFValueType.STRING])
  def test_arrays_of_every_type_are_what_the_library_reads(self, path, kind):
    values = {
      GGUFValueType.STRING: ["a", "", "\u00e9\n"], GGUFValueType.BOOL: [True, False],
      GGUFValueType.FLOAT32: [0.5, -2.0], GGUFValueType.FLOAT64: [0.1, 1e300],
    }.get(kind, [0, 1, 127])  # fmt: skip
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_key_value("some.array", values, GGUFValueType.ARRAY, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    metadata, _ = gguf_reader.read_gguf(path)
    theirs = {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}
    assert metadata == theirs
    assert metadata["some.array"] == values

  def test_a_pipe_and_a_device(self, path):
    os.mkfifo(path)
    self.refused(path, "model.gguf cannot be read: it is not a regular file")
    self.refused("/proc/self/mem", "/proc/self/mem cannot be read: Input/output error")
    self.refused("/dev/zero", "/dev/zero cannot be read: it is not a regular file")

  def test_a_number_that_is_not_finite(self, path):
    table = np.zeros((258, 32), np.float32)
    table[257, 0] = np.nan
    rewrite(path, tensors={"token_embd.weight": table})
    self.refused(path, r"the weights contain nan \(token_embd\.weight, row 257\)")

  @pytest.mark.filterwarnings("error")
  def test_a_scale_that_is_not_finite(self, path):
    quantised = gguf.quantize(np.ones((258, 32), np.float32), Quantisation.Q8_0)
    quantised[257, :2] = np.frombuffer(np.float16(np.inf).tobytes(), np.uint8)
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(LLAMA).tensors}
    whole = bytearray(rewrite(path).read_bytes())
    last = bytes(stored["token_embd.weight"].data[257])
    at = whole.rindex(last)
    whole[at : at + len(last)] = bytes(quantised[257])
    path.write_bytes(whole)
    self.refused(path, r"the weights contain -?(inf|nan) \(token_embd\.weight, row 257\)")

  def test_a_revision_belongs_to_the_hub(self):
    with pytest.raises(WayjaxError, match="--revision belongs to models on the Hub"):
      load_lm(str(LLAMA), revision="main")


def metadata(pre, tokens=TOKENS, kinds=None, merges=()):
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": pre,
    "tokenizer.ggml.tokens": list(tokens),
    "tokenizer.ggml.token_type": kinds or [3] + [1] * (len(tokens) - 1),
    "tokenizer.ggml.merges": list(merges),
    "tokenizer.ggml.eos_token_id": 0,
  }


class TestTokenizer:
  @pytest.mark.parametrize(
    ("pre", "words"),
    [
      ("gpt-2", ["I", "'ll", " PAY", "'", "LL", " 12345", " x", "!!", " \n"]),
      ("smollm", ["I", "'ll", " PAY", "'", "LL", " ", "1", "2", "3", "4", "5", " x", "!!", " \n"]),
      ("llama-bpe", ["I", "'ll", " PAY", "'LL", " ", "123", "45", " x", "!!", " \n"]),
      ("qwen2", ["I", "'ll", " PAY", "'LL", " ", "1", "2", "3", "4", "5", " x", "!!", " \n"]),
      ("tekken", ["I", "'ll", " PAY", "'LL", " ", "1", "2", "3", "4", "5", " x", "!!", " \n"]),
      ("gpt-4o", ["I'll", " PAY'LL", " ", "123", "45", " x", "!!", " \n"]),
    ],
  )
  def test_how_text_is_split(self, pre, words):
    tokenizer = build_tokenizer(metadata(pre), "file")
    text = "I'll PAY'LL 12345 x!! \n"
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    assert [text[first:last] for _, (first, last) in pieces] == words

  def test_pre_tokenizers_that_split_in_the_same_way(self):
    for pre, other in (("dbrx", "llama-bpe"), ("smaug-bpe", "llama-bpe"), ("phi-2", "gpt-2")):
      assert PRE_TOKENIZERS[pre].words == PRE_TOKENIZERS[other].words

  @pytest.mark.parametrize(
    ("pre", "words"),
    [
      ("llama-bpe", ["camelCase", " ABCs", "/\n", "/"]),
      ("tekken", ["camel", "Case", " ABCs", "/\n/"]),
      ("gpt-4o", ["camel", "Case", " ABCs", "/\n/"]),
    ],
  )
  def test_where_a_capital_begins_a_word(self, pre, words):
    tokenizer = build_tokenizer(metadata(pre), "file")
    pieces = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("".join(words))
    assert ["".join(words)[first:last] for _, (first, last) in pieces] == words

  @pytest.mark.parametrize(("pre", "length"), [("gpt-2", 3), ("olmo", 2), ("qwen2", 2)])
  def test_an_accent_becomes_part_of_its_letter(self, pre, length):
    assert len(build_tokenizer(metadata(pre), "file").encode("e\u0301")) == length

  @pytest.mark.parametrize("pre", PRE_TOKENIZERS)
  def test_text_survives_a_round_trip(self, pre):
    tokenizer = build_tokenizer(metadata(pre), "file")
    for text in (
      "",
      " two  spaces ",
      "naïve 你好 \U0001f600",
      "a\n\n b\t1234567",
      "x<|endoftext|>",
    ):
      assert tokenizer.decode(tokenizer.encode(text)) == text

  def test_special_and_added_tokens_are_one_token(self):
    tokens = [*TOKENS, "<|im_start|>", "hello world"]
    kinds = [3] + [1] * (len(TOKENS) - 1) + [3, 4]
    tokenizer = build_tokenizer(metadata("qwen2", tokens, kinds), "file")
    assert tokenizer.encode("<|im_start|>hello world") == [257, 258]
    assert tokenizer.decode([257, 258], skip_special_tokens=True) == "hello world"

  @pytest.mark.parametrize("padding", [5, 4])  # unused; user-defined in old files
  def test_padding_at_the_end_is_left_out(self, path, padding):
    tokens = [*TOKENS[:255], "th", "[PAD256]", "[PAD257]"]
    kinds = [3] + [1] * 255 + [padding, padding]
    lm = load(rewrite(path, fields=metadata("llama-bpe", tokens, kinds, merges=["t h"])))
    assert len(lm.tokenizer) == 256
    assert lm.table_VxD.shape == (256, 32)  # so no prompt ever reads as a padding token

  def test_a_whole_word_is_a_token_for_some_only(self):
    tokens = [*TOKENS, "th", "the"]  # no merge leads to "the"
    whole, merged = [258], [257, TOKENS.index("e")]
    for pre, expected in (
      *(("llama-bpe", whole), ("smaug-bpe", whole), ("tekken", whole)),
      *(("qwen2", merged), ("dbrx", merged), ("gpt-4o", merged)),
    ):
      tokenizer = build_tokenizer(metadata(pre, tokens, merges=["t h"]), "file")
      assert tokenizer.encode("the") == expected

  @pytest.mark.parametrize(
    ("pre", "says", "begins"),
    [
      ("llama-bpe", None, True),  # the files of Llama 3 leave it to the kind
      ("llama-bpe", False, False),
      ("tekken", None, True),
      ("smaug-bpe", None, False),
      ("dbrx", None, False),
      ("qwen2", None, False),
      ("qwen2", True, True),
    ],
  )
  def test_a_beginning_stands_before_a_text_where_the_file_has_it_so(self, pre, says, begins):
    tokens, kinds = [*TOKENS, "<s>"], [3] + [1] * (len(TOKENS) - 1) + [3]
    fields = metadata(pre, tokens, kinds) | {"tokenizer.ggml.bos_token_id": 257}
    fields |= {} if says is None else {"tokenizer.ggml.add_bos_token": says}
    tokenizer = build_tokenizer(fields, "file")
    assert (tokenizer.bos_token, own_beginning(tokenizer)) == ("<s>", "<s>" if begins else "")
    assert tokenizer("ab", add_special_tokens=False)["input_ids"] == tokenizer.encode("ab")[begins:]
    without = build_tokenizer(fields | {"tokenizer.ggml.bos_token_id": 5000}, "file")
    assert (without.bos_token, own_beginning(without)) == (None, "")

  def test_an_end_stands_after_a_text_where_the_file_has_it_so(self):
    fields = metadata("qwen2") | {"tokenizer.ggml.add_eos_token": True}
    tokenizer = build_tokenizer(fields, "file")
    assert tokenizer.encode("a") == [TOKENS.index("a"), 0]
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == [TOKENS.index("a")]

  def test_the_chat_template_comes_from_the_file(self):
    template = "{{ messages[0]['content'] }}<|endoftext|>"
    fields = metadata("qwen2") | {"tokenizer.chat_template": template}
    frame = make_frame(build_tokenizer(fields, "file"), chat=True)
    assert (frame.before, frame.reply, frame.reply_ids) == ("", "<|endoftext|>", (0,))
    for wrong in (None, 3, ["x"]):
      tokenizer = build_tokenizer(fields | {"tokenizer.chat_template": wrong}, "file")
      with pytest.raises(WayjaxError, match="no chat template"):
        make_frame(tokenizer, chat=True)


@pytest.mark.parametrize("pre", ["gpt-2", "qwen2"])
def test_ids_equal_those_of_transformers_own_tokenizer(pre, shared):
  """With GPT-2's vocabulary, on real text."""
  from transformers import GPT2Tokenizer, Qwen2Tokenizer

  folder = shared / "models" / "gpt2-tokenizer"
  kind = {"gpt-2": GPT2Tokenizer, "qwen2": Qwen2Tokenizer}[pre]
  theirs = kind(str(folder / "vocab.json"), str(folder / "merges.txt"))
  vocab = theirs.get_vocab()
  tokens = sorted((token for token in vocab if vocab[token] < 50257), key=vocab.get)
  merges = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
  fields = metadata(pre, tokens, [1] * 50256 + [3], [merge for merge in merges if merge])
  ours = build_tokenizer(fields, "file")
  data = load_data(get_task("agnews"), str(shared / "data"), eval_rows=300)
  for text in [*data.evaluation.texts, "I'LL pay 12345 é你好  \n\n x"]:
    assert ours.encode(text) == theirs.encode(text)
