"""The kinds of texts, by which tables and figures choose their rows."""

import pytest

from wayjax.report import paper


@pytest.mark.parametrize(
  ("group", "name", "kind"),
  [
    ("ni", "a", "any"),
    ("pile", "a", "any"),
    ("file", "true", "any"),
    ("text", "text-1", "any"),
    ("demo", "code", "any"),
    ("demo", "true", "description"),
    ("true", "a", "description"),
    ("demo-true", "ask", "description"),
    ("pile-28", "a", "length"),
    ("demo-4", "garden", "length"),
  ],
)
def test_a_row_is_of_one_kind(group, name, kind):
  row = {"target_group": group, "target_name": name}
  found = paper.is_any_text(row), paper.describes_task(row), paper.has_set_length(row)
  assert found == (kind == "any", kind == "description", kind == "length")


def test_the_length_that_a_group_stands_for():
  groups = ("pile-7", "demo-56", "pile", "pile-7x", "my-7")
  assert [paper.length_of(group) for group in groups] == [7, 56, None, None, None]
