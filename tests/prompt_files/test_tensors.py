"""A soft prompt in a file of tensors; whatever a file holds, nothing in it is run."""

import io
import pickle

import ml_dtypes
import numpy as np
import pytest
from forall import EDITS, HEADER_EDITS, damage, edit_header, forall, outcome, put
from hypothesis import example
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from wayjax.errors import WayjaxError
from wayjax.prompt_files import load_prompt, tensors


@pytest.fixture
def vectors(rng) -> np.ndarray:
  """Numbers that every type of a file holds without rounding."""
  return rng.integers(-8, 8, (3, 4)).astype(np.float32) / 4


def npy(array, **options) -> bytes:
  stream = io.BytesIO()
  np.save(stream, array, **options)
  return stream.getvalue()


class TestSafetensors:
  @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
  def test_its_only_tensor_is_the_prompt(self, tmp_path, vectors, dtype):
    path = tmp_path / "prompt.safetensors"
    save_file({"any name": vectors.astype(dtype)}, path)
    prompt = load_prompt(path, model="gpt2")
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors)
    assert prompt.vectors_PxD.dtype == np.float32
    assert (prompt.model, prompt.reads_as) == ("gpt2", None)
    assert (prompt.before, prompt.after) == (None, None)
    assert prompt.origin == {"file": str(path), "tensor": "any name"}

  def test_of_several_tensors_one_is_named(self, tmp_path, vectors):
    path = tmp_path / "prompts.safetensors"
    save_file({"b": vectors, "a": vectors + 1, "c": vectors, "d": vectors}, path)
    found = load_prompt(path, model="gpt2", tensor="a")
    np.testing.assert_array_equal(found.vectors_PxD, vectors + 1)
    with pytest.raises(WayjaxError, match=r"holds 4 tensors \(a, b, c\): name the one that is"):
      load_prompt(path, model="gpt2")
    for name in ("e", ""):
      with pytest.raises(WayjaxError, match=f"has no tensor '{name}': it holds a, b, c"):
        load_prompt(path, model="gpt2", tensor=name)

  @pytest.mark.parametrize(
    ("array", "message"),
    [
      (np.zeros((3, 4), np.int32), r"holds 'x' as I32 \(3, 4\), which is not a soft prompt: that"),
      (np.zeros((3, 4), np.uint8), "holds 'x' as U8"),
      (np.zeros((3, 4), bool), "holds 'x' as BOOL"),
      (np.zeros((3, 4), np.complex64), "holds 'x' as C64"),
      (np.zeros(4, np.float32), r"holds 'x' as F32 \(4,\)"),
      (np.zeros((1, 3, 4), np.float32), r"holds 'x' as F32 \(1, 3, 4\)"),
      (np.zeros((0, 4), np.float32), r"holds 'x' as F32 \(0, 4\)"),
      (np.zeros((4, 0), np.float32), r"holds 'x' as F32 \(4, 0\)"),
      (np.array([[1, np.nan]], np.float32), "holds 'x' with numbers that are not finite"),
      (np.array([[1, np.inf]], np.float16), "holds 'x' with numbers that are not finite"),
      (np.array([[1, 1e300]], np.float64), "holds 'x' with numbers that are not finite in float32"),
    ],
  )
  def test_what_is_not_a_prompt_is_refused(self, tmp_path, array, message):
    path = tmp_path / "x.safetensors"
    save_file({"x": array}, path)
    with pytest.raises(WayjaxError, match=message):
      load_prompt(path, model="gpt2")

  def test_a_table_is_not_read_to_find_out(self, tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "_MOST", 12)
    path = tmp_path / "x.safetensors"
    save_file({"x": np.zeros((13, 1), np.float32)}, path)
    with pytest.raises(WayjaxError, match=r"as F32 \(13, 1\), which is too large for a soft promp"):
      load_prompt(path, model="gpt2")

  def test_a_file_must_be_safetensors(self, tmp_path):
    with pytest.raises(WayjaxError, match="cannot be read as safetensors"):
      load_prompt(put(tmp_path / "x.safetensors", b"PK\3\4 a pickle"), model="gpt2")
    with pytest.raises(WayjaxError, match="holds 0 tensors"):
      load_prompt(put(tmp_path / "x.safetensors", save({})), model="gpt2")


@pytest.mark.parametrize(
  "suffix", [".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npz", ".PT"]
)
def test_a_pickle_is_never_opened(tmp_path, suffix):
  path = put(tmp_path / f"prompt{suffix}", pickle.dumps([1.0]))
  path.chmod(0)  # so opening it would be another error where users may not read all
  with pytest.raises(WayjaxError, match="may be a pickle file, which can run code and is never op"):
    load_prompt(path, model="gpt2")


class TestNpy:
  @pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", ">f2"])
  @pytest.mark.parametrize("order", ["C", "F"])
  def test_it_holds_one_array(self, tmp_path, vectors, dtype, order):
    path = put(tmp_path / "x.npy", npy(np.asarray(vectors, dtype, order=order)))
    prompt = load_prompt(path, model="gpt2")
    np.testing.assert_array_equal(prompt.vectors_PxD, vectors)
    assert prompt.origin == {"file": str(path), "tensor": ""}

  @pytest.mark.parametrize(
    ("content", "message"),
    [
      (npy(np.zeros((3, 4), np.int64)), r"holds its array as int64 \(3, 4\), which is not a soft"),
      (npy(np.zeros((3, 4), complex)), r"holds its array as complex128"),
      (npy(np.zeros((3, 4), ml_dtypes.bfloat16)), r"holds its array as void16"),
      (npy(np.zeros((3, 4), "U3")), r"holds its array as str"),
      (npy(np.zeros(4, np.float32)), r"holds its array as float32 \(4,\)"),
      (npy(np.zeros((0, 4), np.float32)), r"holds its array as float32 \(0, 4\)"),
      (npy(np.array([[1, np.nan]])), "holds its array with numbers that are not finite"),
      (
        npy(np.array([[{}]], object), allow_pickle=True),
        "holds Python objects, which can run code",
      ),
      (npy(np.zeros((3, 4)))[:-1], "it is cut off, or has more than its shape says"),
      (npy(np.zeros((3, 4))) + b"x", "it is cut off, or has more than its shape says"),
      (npy(np.zeros((3, 4))).replace(b"(3, 4)", b"(9**9,)"), "cannot be read as .npy"),
      (npy(np.zeros((3, 4))).replace(b"(3, 4), }", b"(-3, -4)}"), "which is not a soft prompt"),
      (b"\x93NUMPY\x09\x00", "cannot be read as .npy: its version is"),
      (b"", "cannot be read as .npy"),
    ],
  )
  def test_what_is_not_a_prompt_is_refused(self, tmp_path, content, message):
    with pytest.raises(WayjaxError, match=message):
      load_prompt(put(tmp_path / "x.npy", content), model="gpt2")

  def test_its_array_has_no_name(self, tmp_path, vectors):
    with pytest.raises(WayjaxError, match="holds one array without a name: leave tensor out"):
      load_prompt(put(tmp_path / "x.npy", npy(vectors)), model="gpt2", tensor="a")


WHOLE = save(
  {
    "p": np.arange(12, dtype=np.float32).reshape(3, 4),
    "q": np.ones((2, 4), ml_dtypes.bfloat16),
  },
  {"wayjax": '{"model": "gpt2"}'},
)
WHOLE_NPY = npy(np.arange(12, dtype=np.float32).reshape(3, 4))


def check_file(path, content, tensor):
  prompt = outcome(load_prompt, put(path, content), model="gpt2", tensor=tensor)
  if prompt is not None:
    assert prompt.vectors_PxD.ndim == 2
    assert np.isfinite(prompt.vectors_PxD).all()


@forall(60, edits=EDITS, tensor=st.sampled_from(["p", "q", None]))
def test_a_damaged_file(tmp_path, edits, tensor):
  check_file(tmp_path / "x.safetensors", damage(WHOLE, edits), tensor)


@forall(60, edits=HEADER_EDITS, tensor=st.sampled_from(["p", "q", None]))
@example(edits=[(0, "dtype", "F4")], tensor="p")
@example(edits=[(0, "shape", [2**63, 4])], tensor="p")
def test_a_file_with_any_header(tmp_path, edits, tensor):
  check_file(tmp_path / "x.safetensors", edit_header(WHOLE, edits), tensor)


@forall(60, edits=EDITS)
def test_a_damaged_array(tmp_path, edits):
  check_file(tmp_path / "x.npy", damage(WHOLE_NPY, edits), None)
