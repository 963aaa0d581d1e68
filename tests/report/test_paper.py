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
    ("other", "a", "description of another"),
    ("demo-other", "sst2_ask", "description of another"),
    ("pile-28", "a", "length"),
    ("demo-4", "garden", "length"),
  ],
)
def test_a_row_is_of_one_kind(group, name, kind):
  row = {"target_group": group, "target_name": name}
  kinds = {
    "any": paper.is_any_text,
    "description": paper.describes_task,
    "description of another": paper.describes_other_task,
    "length": paper.has_set_length,
  }
  assert [name for name, is_of in kinds.items() if is_of(row)] == [kind]


def test_the_length_that_a_group_stands_for():
  groups = ("pile-7", "demo-56", "pile", "pile-7x", "my-7")
  assert [paper.length_of(group) for group in groups] == [7, 56, None, None, None]
