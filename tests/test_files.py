"""Files of any kind end as their content, or in one sentence that says what they are."""

import os
import re
from pathlib import Path

import disks
import pytest

from wayjax.errors import WayjaxError
from wayjax.files import (
  MIB,
  exists,
  is_file,
  is_folder,
  open_regular,
  open_text,
  parse_json,
  read_bytes,
  read_text,
  replacing,
)


@pytest.fixture
def path(tmp_path):
  return tmp_path / "file"


def refused(match, function, *args):
  with pytest.raises(WayjaxError, match=match) as error:
    function(*args)
  assert str(error.value).startswith("task file ")


def test_a_named_pipe_is_refused_at_once(path):
  os.mkfifo(path)
  for function in (open_regular, read_bytes, read_text):
    refused("it is not a regular file", function, path, MIB, "task file x")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_refused(device):
  refused("not a regular file|No such device", read_bytes, device, MIB, "task file x")


def test_a_folder_a_missing_file_and_an_impossible_path_are_refused(tmp_path):
  refused("Is a directory", read_bytes, tmp_path, MIB, "task file x")
  refused("No such file", read_bytes, tmp_path / "none", MIB, "task file x")
  refused("null", read_bytes, "a\0b", MIB, "task file x")


def test_what_stands_at_a_path(tmp_path, path):
  kinds = {tmp_path: (True, False, True), path: (False, False, False), path / "x": (False,) * 3}
  for where, expected in kinds.items():
    assert (is_folder(where), is_file(where), exists(where)) == expected
  path.touch()
  kinds |= {path: (False, True, True), Path("/dev/null"): (False, False, True)}
  for where, expected in kinds.items():
    assert (is_folder(where), is_file(where), exists(where)) == expected


def test_what_may_not_be_looked_at_is_not_taken_for_missing(tmp_path, path):
  path.touch()
  (tmp_path / "loop").symlink_to(tmp_path / "loop")
  for look in (exists, is_file, is_folder):
    refusal = pytest.raises(WayjaxError, match="file cannot be read: Permission denied")
    with disks.mode(tmp_path, 0), disks.as_nobody(), refusal:
      look(path)
    with pytest.raises(WayjaxError, match="loop cannot be read: Too many levels of symbolic links"):
      look(tmp_path / "loop")
    with pytest.raises(WayjaxError, match="cannot be read: File name too long"):
      look("a" * 5000)


def test_a_file_that_is_too_large_is_not_read(path):
  with path.open("wb") as file:
    file.truncate(2**40)  # a hole, which takes no room
  refused("it has more than 3 MiB", read_bytes, path, 3 * MIB, "task file x")


def test_a_file_that_does_not_tell_its_size_is_not_read_beyond_the_bound():
  refused("it has more than 1 MiB", read_bytes, "/proc/self/pagemap", MIB, "task file x")


def test_text_keeps_its_line_ends_and_loses_its_mark(path):
  for mark in (b"", b"\xef\xbb\xbf"):
    path.write_bytes(mark + "é\r\nb\u2028\rc\n".encode())
    assert read_text(path, MIB) == "é\r\nb\u2028\rc\n"
    with open_text(path, MIB) as file:
      assert list(file) == ["é\r\n", "b\u2028\rc\n"]


@pytest.mark.parametrize(
  ("encoding", "named"),
  [
    ("utf-16", "UTF-16"),
    ("utf-16-le", "UTF-16-LE"),
    ("utf-16-be", "UTF-16-BE"),
    ("utf-32", "UTF-32"),
    ("latin-1", "not UTF-8 text"),
  ],
)
def test_other_encodings_are_refused_by_name(path, encoding, named):
  path.write_bytes("text,label\ncafé,1\n".encode(encoding))
  message = re.escape(named) + ".*: save it as UTF-8"
  refused(message, read_text, path, MIB, "task file x")

  def by_line(*args):
    with open_text(*args) as file:
      list(file)

  refused(message, by_line, path, MIB, "task file x")


def test_an_empty_file_is_an_empty_text(path):
  path.touch()
  assert read_text(path, 0) == ""


def test_a_name_that_occurs_twice_in_json_is_refused_quickly():
  names = [f'"{i}": 0' for i in range(100_000)]
  assert len(parse_json("{" + ", ".join(names) + "}")) == len(names)
  with pytest.raises(ValueError, match="the name '99999' occurs twice"):
    parse_json("{" + ", ".join([*names, names[-1]]) + "}")


def test_a_file_is_replaced_as_a_whole_or_not_at_all(path):
  for content in ("first", "second"):
    with replacing(path) as partial:
      partial.write_text(content)
      assert not path.exists() or path.read_text() == "first"
    assert path.read_text() == content

  def interrupted():
    with replacing(path) as partial:
      partial.write_text("half")
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    interrupted()
  assert path.read_text() == "second"
  assert list(path.parent.iterdir()) == [path]


def test_two_that_write_one_file_do_not_share_what_they_write(path):
  with replacing(path) as one, replacing(path) as other:
    one.write_text("one")
    other.write_text("other")
  assert path.read_text() == "one"
