"""`save_prompt`: what it writes is what was given, bit for bit or rounded to the nearest."""

import dataclasses
import json

import ml_dtypes
import numpy as np
import pytest
from forall import forall
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors import safe_open

import wayjax
from wayjax.data.frame import make_frame
from wayjax.data.targets import Target
from wayjax.data.tasks import get_task
from wayjax.errors import WayjaxError
from wayjax.export.save import save_prompt
from wayjax.prompt_files import load_prompt
from wayjax.prompts import SoftPrompt

TYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
FILES = {
  "peft": ("adapter_model.safetensors", "prompt_embeddings"),
  "safetensors": ("prompt.safetensors", "prompt"),
  "vllm": ("prompt_embeds.safetensors", "prompt_embeds"),
}
TARGET = Target("ni", "a", "abc")


@pytest.fixture
def prompt(lm, rng) -> SoftPrompt:
  return SoftPrompt(rng.normal(0, 0.3, (3, 32)), lm.name, TARGET, before="", after="")


def stored(folder, format="peft"):
  """The tensor of a folder, and its metadata."""
  name, tensor = FILES[format]
  with safe_open(folder / name, "numpy") as file:
    assert list(file.keys()) == [tensor]
    return file.get_tensor(tensor), file.metadata()


def rows(lm, text) -> np.ndarray:
  ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
  return np.asarray(lm.table_VxD)[ids]


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
EDGES = st.sampled_from([-0.0, 1e-45, -1e-40, 1.1754944e-38, 3.4028235e38, -3.4028235e38, 1 / 3])
SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 9))
VECTORS = SHAPES.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=FLOATS | EDGES))


@forall(40, vectors=VECTORS, format=st.sampled_from(["peft", "safetensors"]))
def test_every_bit_of_float32_comes_back(tmp_path_factory, vectors, format):
  folder = tmp_path_factory.mktemp("round") / "out"
  given = SoftPrompt(vectors, "gpt2", TARGET, before="", after="Say:")
  save_prompt(given, folder, format=format)
  found = load_prompt(folder)
  assert found.vectors_PxD.tobytes() == vectors.tobytes()
  assert found.vectors_PxD.shape == vectors.shape
  for name in ("model", "reads_as", "before", "after"):
    assert getattr(found, name) == getattr(given, name)


@pytest.mark.parametrize("format", ["peft", "safetensors"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_other_types_are_a_plain_rounding(tmp_path, lm, prompt, format, dtype):
  save_prompt(prompt, tmp_path / "out", format=format, dtype=dtype, lm=lm)
  found, metadata = stored(tmp_path / "out", format)
  rounded = prompt.vectors_PxD.astype(TYPES[dtype])
  assert found.dtype == TYPES[dtype]
  assert found.tobytes() == rounded.tobytes()
  assert json.loads(metadata["wayjax"])["dtype"] == dtype
  again = load_prompt(tmp_path / "out", model=lm).vectors_PxD
  np.testing.assert_array_equal(again, rounded.astype(np.float32))


def test_a_rounding_that_changes_the_reading_is_told(tmp_path, lm):
  table_VxD = np.asarray(lm.table_VxD)
  # Between two tokens, nearer to the first by less than the type can tell.
  first, second = table_VxD[40], table_VxD[60]
  middle = (first + second) / 2 + (first - second) * 1e-5
  near = SoftPrompt([first, middle], lm.name)
  said = save_prompt(near, tmp_path / "exact", format="safetensors", lm=lm)
  assert said == []
  (note,) = save_prompt(near, tmp_path / "out", format="safetensors", dtype="bfloat16", lm=lm)
  assert note.startswith("stored as bfloat16, 1 of its 2 vectors read as other tokens by euclidean")
  assert "1 of its 2 vectors read as other tokens" in (tmp_path / "out" / "README.md").read_text()
  plain = SoftPrompt([first, second], lm.name)
  assert not save_prompt(plain, tmp_path / "same", format="safetensors", dtype="bfloat16", lm=lm)


@pytest.mark.parametrize(
  ("dtype", "value", "message"),
  [
    ("float16", 65520.0, r"beyond 65,504, the largest of float16: use --dtype bfloat16 or float32"),
    ("bfloat16", 3.4e38, r"beyond 3\.38953e\+38, the largest of bfloat16: use --dtype float32"),
  ],
)
def test_what_a_type_cannot_hold_is_refused(tmp_path, lm, prompt, dtype, value, message):
  vectors = prompt.vectors_PxD.copy()
  vectors[1, 1] = -value
  with pytest.raises(WayjaxError, match=message):
    save_prompt(SoftPrompt(vectors, lm.name), tmp_path / "out", dtype=dtype, lm=lm)
  assert not (tmp_path / "out").exists()
  vectors[1, 1] = 65504
  save_prompt(SoftPrompt(vectors, lm.name), tmp_path / "out", dtype=dtype, lm=lm)


class TestTextAround:
  def test_peft_has_no_place_before_a_prompt(self, tmp_path, prompt):
    framed = SoftPrompt(prompt.vectors_PxD, prompt.model, before="<s>", after="")
    with pytest.raises(
      WayjaxError, match=r"tuned after the text '<s>', .*: add --fold-frame, which"
    ):
      save_prompt(framed, tmp_path / "out")

  def test_a_text_after_it_is_for_the_user_to_put(self, tmp_path, prompt):
    framed = SoftPrompt(prompt.vectors_PxD, prompt.model, before="", after="Say *this*:")
    said = save_prompt(framed, tmp_path / "out")
    assert said[0] == "the text 'Say *this*:' must be put before every input"
    assert "add_special_tokens=False" in said[1]
    card = (tmp_path / "out" / "README.md").read_text()
    assert r"The text 'Say \*this\*:' must be put before every input." in card
    assert 'parts = ["Say *this*:", "YOUR TEXT", ""]' in card
    assert "[virtual tokens: soft prompt][text after][input]" in card
    assert load_prompt(tmp_path / "out").after == "Say *this*:"

  def test_it_can_be_folded_into_the_virtual_tokens(self, tmp_path, lm, prompt):
    framed = SoftPrompt(prompt.vectors_PxD, lm.name, TARGET, before="Be", after="So:")
    with pytest.raises(WayjaxError, match=r"--fold-frame needs the prompt's model: give lm="):
      save_prompt(framed, tmp_path / "out", fold_frame=True)
    said = save_prompt(framed, tmp_path / "out", fold_frame=True, lm=lm)
    assert len(said) == 1
    found, metadata = stored(tmp_path / "out")
    parts = [rows(lm, "Be"), prompt.vectors_PxD, rows(lm, "So:")]
    np.testing.assert_array_equal(found, np.concatenate(parts))
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["num_virtual_tokens"] == 2 + 3 + 3
    assert json.loads(metadata["wayjax"])["folded"] == {
      "reads_as": {"group": "ni", "name": "a", "text": "abc"},
      "before": "Be",
      "after": "So:",
      "reply": None,
    }
    again = load_prompt(tmp_path / "out", model=lm)
    assert (again.reads_as, again.before, again.after) == (None, "", "")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "[virtual tokens: text before, soft prompt, text after][input]" in card
    assert "reading of the virtual tokens includes it" in card
    assert 'parts = ["", "YOUR TEXT", ""]' in card

  def test_special_tokens_are_folded_by_their_names(self, tmp_path, lm, prompt):
    eos = lm.tokenizer.eos_token
    framed = SoftPrompt(prompt.vectors_PxD, lm.name, before=eos, after="")
    save_prompt(framed, tmp_path / "out", fold_frame=True, lm=lm)
    ids = make_frame(lm.tokenizer, eos, "").before_ids
    assert len(ids) == 1
    np.testing.assert_array_equal(stored(tmp_path / "out")[0][:1], np.asarray(lm.table_VxD)[[*ids]])

  def test_without_any_there_is_nothing_to_fold(self, tmp_path, prompt):
    save_prompt(prompt, tmp_path / "out", fold_frame=True)
    assert load_prompt(tmp_path / "out").reads_as == TARGET

  def test_safetensors_record_it(self, tmp_path, prompt):
    framed = SoftPrompt(prompt.vectors_PxD, prompt.model, before="<s>", after="So:")
    save_prompt(framed, tmp_path / "out", format="safetensors")
    again = load_prompt(tmp_path / "out")
    assert (again.before, again.after, len(again)) == ("<s>", "So:", 3)


class TestVllm:
  def test_it_is_the_whole_input(self, tmp_path, lm, prompt):
    framed = SoftPrompt(prompt.vectors_PxD, lm.name, TARGET, before="Be", after="So:")
    said = save_prompt(framed, tmp_path / "out", format="vllm", text="a film", lm=lm)
    assert any(note.startswith("no task is known, so nothing follows the input") for note in said)
    parts = [rows(lm, "Be"), prompt.vectors_PxD, rows(lm, "So:"), rows(lm, "a film")]
    np.testing.assert_array_equal(stored(tmp_path / "out", "vllm")[0], np.concatenate(parts))

  def test_a_task_lays_the_text_out(self, tmp_path, lm, prompt):
    task = get_task("sst2")
    save_prompt(prompt, tmp_path / "out", format="vllm", text="a film", lm=lm, task=task)
    parts = [prompt.vectors_PxD, rows(lm, "a film"), rows(lm, " It was ")]
    np.testing.assert_array_equal(stored(tmp_path / "out", "vllm")[0], np.concatenate(parts))

  def test_a_long_text_is_cut_as_in_training(self, tmp_path, lm, prompt):
    task = get_task("sst2")
    said = save_prompt(prompt, tmp_path / "out", format="vllm", text="x" * 200, lm=lm, task=task)
    assert "the input was cut to its first 112 tokens, as in training" in said
    assert len(stored(tmp_path / "out", "vllm")[0]) == 3 + 112 + len(" It was ")

  def test_a_length_without_room_for_a_text_is_refused(self, tmp_path, lm, prompt):
    task = dataclasses.replace(get_task("sst2"), max_length=16)
    with pytest.raises(WayjaxError, match="max_length of 16, which leaves no room for an input"):
      save_prompt(prompt, tmp_path / "out", format="vllm", text="x", lm=lm, task=task)
    assert not (tmp_path / "out").exists()

  def test_what_exceeds_the_models_positions_is_refused(self, tmp_path, lm, prompt):
    with pytest.raises(WayjaxError, match="take 163 positions, and the model has 160: give a shor"):
      save_prompt(prompt, tmp_path / "out", format="vllm", text="x" * 160, lm=lm)

  def test_no_text_reaches_the_program(self, tmp_path, lm, prompt):
    hostile = '"""\n```\nimport os; os.system("x")'
    named = SoftPrompt(prompt.vectors_PxD, hostile, TARGET)
    save_prompt(
      named, tmp_path / "out", format="vllm", text=hostile, lm=dataclasses.replace(lm, name=hostile)
    )
    card = (tmp_path / "out" / "README.md").read_text()
    fence = card.split("python\nimport base64")[0].rsplit("\n", 1)[-1]
    program = card.split(f"{fence}python\n")[1].split(f"\n{fence}\n")[0]
    compile(program, "README.md", "exec")
    assert json.dumps(hostile) in program
    assert "os.system" not in program.replace(json.dumps(hostile), "")

  def test_it_is_not_a_prompt_again(self, tmp_path, lm, prompt):
    save_prompt(prompt, tmp_path / "out", format="vllm", text="x", lm=lm)
    with pytest.raises(WayjaxError, match="holds a prompt together with an input"):
      load_prompt(tmp_path / "out" / "prompt_embeds.safetensors")


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"format": "gguf"}, "format must be one of peft, safetensors, vllm, not 'gguf'"),
    ({"dtype": "int8"}, "dtype must be one of float32, float16, bfloat16, not 'int8'"),
    ({"dtype": "float16"}, r"--dtype float16 needs the prompt's model: give lm=load_lm"),
    ({"format": "vllm"}, "--format vllm needs --input, the text that follows the prompt"),
    ({"format": "vllm", "text": "x"}, r"--format vllm needs the prompt's model: give lm="),
    ({"format": "vllm", "text": "\udcff"}, r"--input '\\udcff' is not valid Unicode: give another"),
    ({"format": "vllm", "text": 7}, "input must be a text, not a value of type int"),
    ({"text": "x"}, "--input belongs to --format vllm, not to peft: leave it out"),
    (
      {"format": "safetensors", "fold_frame": True},
      "--fold-frame belongs to --format peft, not to safetensors",
    ),
    ({"lm": "gpt2"}, "lm must be what load_lm returns, not a value of type str"),
    ({"task": "sst2"}, "task must be what get_task returns, not a value of type str"),
  ],
)
def test_wrong_options_are_sentences_and_leave_nothing(tmp_path, prompt, options, message):
  with pytest.raises(WayjaxError, match=message):
    save_prompt(prompt, tmp_path / "out", **options)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prompt", [None, "text", np.ones((2, 3))])
def test_what_is_no_prompt_is_refused(tmp_path, prompt):
  with pytest.raises(WayjaxError, match="prompt must be a SoftPrompt, not a value of type"):
    save_prompt(prompt, tmp_path / "out")


def test_a_broken_prompt_is_not_written(tmp_path):
  with pytest.raises(WayjaxError, match="has numbers that are not finite, as after a training"):
    save_prompt(SoftPrompt([[np.inf]], "gpt2"), tmp_path / "out")
  assert not (tmp_path / "out").exists()


def test_a_model_of_another_width_or_name_is_refused(tmp_path, lm, prompt):
  with pytest.raises(WayjaxError, match=r"a prompt of width 4 does not fit .*, whose width is 32"):
    save_prompt(SoftPrompt(np.ones((3, 4)), lm.name), tmp_path / "out", lm=lm)
  with pytest.raises(WayjaxError, match="holds a prompt of 'gpt2', not of"):
    save_prompt(SoftPrompt(prompt.vectors_PxD, "gpt2"), tmp_path / "out", lm=lm)


def test_the_file_says_what_the_numbers_are(tmp_path, lm, prompt):
  save_prompt(prompt, tmp_path / "out", lm=lm)
  _, metadata = stored(tmp_path / "out")
  assert metadata["format"] == "pt"
  assert json.loads(metadata["wayjax"]) == {
    "version": wayjax.__version__,
    "holds": "prompt",
    "space": "what enters the first layer",
    "dtype": "float32",
    "model": lm.name,
    "model_revision": None,
    "weights_sha256": lm.weights_sha256,
    "key": None,
    "reads_as": {"group": "ni", "name": "a", "text": "abc"},
    "before": "",
    "after": "",
    "reply": None,
  }
  save_prompt(load_prompt(tmp_path / "out"), tmp_path / "again")
  for name in ("adapter_config.json", "README.md"):
    first, second = ((tmp_path / folder / name).read_bytes() for folder in ("out", "again"))
    assert first == second
  assert stored(tmp_path / "again")[1] == metadata
