"""What a GGUF file holds: the library's reader, made faster, and stopped at what cannot be."""

import itertools
import struct
from pathlib import Path

import gguf
import numpy as np
from gguf import GGUFValueType

from wayjax.errors import WayjaxError, in_one_sentence, reason
from wayjax.files import open_regular

_MAGIC = b"GGUF"
# Far above any model's; of less, a small file could ask for all the memory there is.
_MOST_FIELDS, _MOST_TENSORS, _MOST_ELEMENTS = 2**12, 2**14, 2**22


class _Reader(gguf.GGUFReader):
  """The library's reader, made faster, and stopped at whatever a small file cannot hold."""

  def _get(self, offset, dtype, count=1, *args, **options):
    if isinstance(self.data, np.memmap):
      self.data = np.asarray(self.data)  # the same memory, but faster to slice
    end = int(offset) + int(count) * np.dtype(dtype).itemsize
    if end > len(self.data):
      raise ValueError(f"it ends at byte {len(self.data):,}, and byte {end:,} is needed")
    return super()._get(offset, dtype, count, *args, **options)

  def _build_fields(self, offs, count):
    if self.byte_order == "S":
      raise WayjaxError("it has another byte order: convert it with gguf-convert-endian")
    if count > _MOST_FIELDS:
      raise ValueError(f"it has {count:,} fields of metadata")
    return super()._build_fields(offs, count)

  def _build_tensor_info(self, offs, count):
    if count > _MOST_TENSORS:
      raise ValueError(f"it has {count:,} tensors")
    return super()._build_tensor_info(offs, count)

  def _get_field_parts(self, orig_offs, raw_type):
    if raw_type != GGUFValueType.ARRAY:
      return super()._get_field_parts(orig_offs, raw_type)
    # The library makes several arrays of each element, which takes 400 times the file's memory.
    kind, count = self._get(orig_offs, np.uint32), self._get(orig_offs + 4, np.uint64)
    start, of = orig_offs + 12, GGUFValueType(kind[0])
    if count[0] > _MOST_ELEMENTS:
      raise ValueError(f"it has an array of {count[0]:,} elements")
    if of == GGUFValueType.STRING:
      values, size = self._get_strings(start, int(count[0]))
    elif of in self.gguf_scalar_to_np:
      found = self._get(start, self.gguf_scalar_to_np[of], count[0])
      values, size = found.tolist(), found.nbytes
    else:
      raise ValueError("it has an array of arrays")
    return 12 + size, [kind, count, values], [2], [GGUFValueType.ARRAY, of]

  def _get_strings(self, start: int, count: int) -> tuple[list[str], int]:
    """The strings from a place on, and how many bytes they take."""
    strings, at, data = [], start, memoryview(self.data)
    for _ in range(count):
      (length,) = struct.unpack_from("=Q", data, at)
      at += 8 + length
      if at > len(data):
        raise ValueError(f"it ends at byte {len(data):,}, and byte {at:,} is needed")
      strings.append(str(data[at - length : at], "utf-8"))
    return strings, at - start


def _contents(field: gguf.ReaderField):
  is_array = field.types[:1] == [GGUFValueType.ARRAY]
  return field.parts[-1] if is_array else field.contents()


def _require_apart(reader: gguf.GGUFReader) -> None:
  """Raises ValueError where tensors share bytes, so that no file claims more than it holds."""
  if bare := [t.name for t in reader.tensors if not (t.data.ndim and t.data.size)]:
    raise ValueError(f"it contains tensors without rows: {', '.join(bare)}")
  spans = sorted((t.data_offset, t.data_offset + t.data.nbytes, t.name) for t in reader.tensors)
  for (_, end, name), (start, _, other) in itertools.pairwise(
    [(0, reader.data_offset, "the metadata"), *spans]
  ):
    if start < end:
      raise ValueError(f"{other} overlaps with {name}")


def read_gguf(path: Path) -> tuple[dict, dict[str, gguf.ReaderTensor]]:
  """Metadata and tensors; the tensors' data stays in the file until it is read.

  Raises:
    WayjaxError: it is no GGUF file, or is damaged, cut short, or larger inside than outside.
  """
  with open_regular(path) as file, in_one_sentence(f"{path} cannot be read"):
    magic = file.read(len(_MAGIC))
  if magic != _MAGIC:
    raise WayjaxError(
      f"{path} is not a GGUF file: it begins with {magic!r}, not {_MAGIC!r}; --model takes a .gguf "
      "file, a folder in Hugging Face's layout, or a Hub id"
    )
  try:
    with np.errstate(over="ignore"):  # an offset that overflows is found below
      reader = _Reader(path)
    metadata = {key: _contents(field) for key, field in reader.fields.items()}
    _require_apart(reader)
  except WayjaxError as error:
    raise WayjaxError(f"{path} cannot be read: {error}") from error
  except Exception as error:  # the reader raises whatever a wrong offset leads to
    if any(sign in reason(error) for sign in ("GGMLQuantizationType", "appears to be version")):
      raise WayjaxError(
        f"{path} has a version, or tensors of a type, that the gguf package does not read "
        f"({reason(error)}): use another file of the model"
      ) from error
    raise WayjaxError(
      f"{path} is damaged or cut short ({reason(error)}): download it again"
    ) from error
  return metadata, {tensor.name: tensor for tensor in reader.tensors}
