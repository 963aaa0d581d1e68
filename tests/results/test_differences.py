"""Which words of two texts differ."""

from wayjax.results.differences import differences


def test_words_that_look_the_same_do_not_differ():
  target, text = differences("caf\u00e9 now", "cafe\u0301 then")
  assert target == [("caf\u00e9", False), ("now", True)]
  assert text == [("cafe\u0301", False), ("then", True)]
