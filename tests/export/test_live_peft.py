"""PEFT itself, where it is installed: what each of the two writes, the other reads."""

import warnings

import numpy as np
import pytest
import tiny

from wayjax.data.encoding import encode
from wayjax.data.examples import Examples
from wayjax.data.tasks import get_task
from wayjax.errors import WayjaxError
from wayjax.evaluation import evaluate
from wayjax.export.save import save_prompt
from wayjax.models import load_lm
from wayjax.prompt_files import load_prompt
from wayjax.prompts import SoftPrompt

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

TEXTS = ("a film", "it never ends, and I liked it", "dull")


def base_of(folder):
  return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def load_adapted(model_dir, folder):
  """The model with a folder's prompt, which PEFT loads without a warning."""
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")  # transformers' own
    return peft.PeftModel.from_pretrained(base_of(model_dir), folder).eval()


@torch.no_grad()
def losses_of(adapted, prefix: list[int], candidates) -> list[float]:
  found = []
  for candidate in candidates:
    ids = torch.tensor([[*prefix, *candidate.tolist()]])
    logits_SxV = adapted(input_ids=ids).logits[0]
    scored_RxV = logits_SxV[-len(candidate) - 1 : -1]
    target_R = torch.tensor(candidate, dtype=torch.long)
    found.append(float(torch.nn.functional.cross_entropy(scored_RxV, target_R)))
  return found


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "qwen2", "gpt_neox"])
@pytest.mark.parametrize("frame", [("", ""), ("", "So:"), ("Be", "So:")])
def test_peft_computes_the_same_losses_of_what_is_exported(tmp_path, rng, model_type, frame):
  before, after = frame
  model_dir = tiny.save_model(tmp_path / "model", tiny.CONFIGS[model_type])
  lm = tiny.over(load_lm(model_dir, precision="float32"), 1)
  prompt = SoftPrompt(rng.normal(0, 0.3, (5, 32)), lm.name, before=before, after=after)
  said = save_prompt(prompt, tmp_path / "peft", lm=lm, fold_frame=bool(before))
  by_hand = not before and bool(after)
  assert any(note.startswith("the text 'So:' must be put") for note in said) == by_hand
  put_by_hand = [] if before else lm.tokenizer(after, add_special_tokens=False)["input_ids"]
  examples = encode(lm.tokenizer, get_task("sst2"), Examples(TEXTS, (0, 1, 0)))
  table_VxD = np.asarray(lm.table_VxD)
  around = [
    table_VxD[np.array(lm.tokenizer(text, add_special_tokens=False)["input_ids"], int)]
    for text in frame
  ]
  whole = SoftPrompt(np.concatenate([around[0], prompt.vectors_PxD, around[1]]), lm.name)
  (ours,) = evaluate(lm, examples, [whole])
  adapted = load_adapted(model_dir, tmp_path / "peft")
  theirs = [
    losses_of(adapted, [*put_by_hand, *prefix.tolist()], examples.candidates)
    for prefix in examples.prefixes
  ]
  np.testing.assert_allclose(ours.losses_NxC, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("init", ["RANDOM", "SAMPLE_VOCAB", "TEXT"])
@pytest.mark.parametrize("task_type", ["CAUSAL_LM", None])
def test_what_peft_writes_is_read_and_written_again(model_dir, tmp_path, init, task_type):
  text = {"prompt_tuning_init_text": "read", "tokenizer_name_or_path": str(model_dir)}
  config = peft.PromptTuningConfig(
    task_type="CAUSAL_LM",
    num_virtual_tokens=5,
    prompt_tuning_init=init,
    **(text if init == "TEXT" else {}),
  )
  adapted = peft.get_peft_model(base_of(model_dir), config)
  config.task_type = task_type
  adapted.save_pretrained(tmp_path / "peft")
  weight = adapted.prompt_encoder["default"].embedding.weight.detach().numpy()
  prompt = load_prompt(tmp_path / "peft")
  assert prompt.vectors_PxD.tobytes() == weight.tobytes()
  assert prompt.model == str(model_dir)
  save_prompt(prompt, tmp_path / "again")
  again = load_adapted(model_dir, tmp_path / "again")
  found = again.prompt_encoder["default"].embedding.weight.detach().numpy()
  assert found.tobytes() == weight.tobytes()


@pytest.mark.parametrize("kind", ["PrefixTuningConfig", "PromptEncoderConfig", "LoraConfig"])
def test_other_adapters_of_peft_are_refused_by_name(model_dir, tmp_path, kind):
  options = {"r": 2} if kind == "LoraConfig" else {"num_virtual_tokens": 3}
  config = getattr(peft, kind)(task_type="CAUSAL_LM", **options)
  peft.get_peft_model(base_of(model_dir), config).save_pretrained(tmp_path / "peft")
  with pytest.raises(WayjaxError, match=f"is of an adapter of type '{config.peft_type.value}', "):
    load_prompt(tmp_path / "peft")


def test_the_program_of_the_card_runs(model_dir, tmp_path, rng, capsys, monkeypatch):
  prompt = SoftPrompt(rng.normal(0, 0.3, (5, 32)), str(model_dir), before="", after="So:")
  save_prompt(prompt, tmp_path / "peft", task=get_task("sst2"))
  card = (tmp_path / "peft" / "README.md").read_text(encoding="utf-8")
  program = card.split("```python\n")[1].split("```")[0]
  monkeypatch.chdir(tmp_path)
  (tmp_path / "THIS_FOLDER").symlink_to(tmp_path / "peft")
  exec(program, {})
  assert capsys.readouterr().out
