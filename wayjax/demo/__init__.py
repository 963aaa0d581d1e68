"""The embedded demo: a small model, five miniature tasks and a few targets; nothing is loaded here.

`--model demo`, `--data-dir demo` and `--targets demo` each select a part of it, `--demo` all of it.
"""

from pathlib import Path

NAME = "demo"
_FOLDER = Path(__file__).parent
MODEL, DATA, TARGETS = _FOLDER / "model", _FOLDER / "data", _FOLDER / "targets.json"

# Groups of texts: arbitrary ones, true descriptions of the task and of the others, texts of 4 to 56
# tokens.
TRUE, OTHER = f"{NAME}-true", f"{NAME}-other"
LENGTHS = (4, 7, 14, 28, 56)
GROUPS = (NAME, TRUE, OTHER, *(f"{NAME}-{length}" for length in LENGTHS))

# What `--demo` sets unless the command line does: under 90 seconds on two cores.
DEFAULTS = {
  "model": NAME,
  "data_dir": NAME,
  "gamma": (0.0, 0.01),
  "seeds": (1, 10),
  "steps": 100,
}

MEANING = (
  "A prompt can solve {dataset} and read as a text of your choosing: what a prompt reads as does "
  "not tell you what it does."
)
NEXT = "On a real model: python -m wayjax.run --dataset {dataset} --model openai-community/gpt2"
