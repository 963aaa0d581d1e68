"""Makes a folder for each model here: random weights, and what Hugging Face's PyTorch computes.

    pip install torch transformers accelerate gguf && python tests/goldens/make.py [NAME ...]

Embeddings are small, so that the norms' epsilon matters (but not so small that a norm magnifies
rounding); the other weights are large, so that logits have a standard deviation above 1 and every
part of the model matters. The GGUF files are
written here as llama.cpp's converter does, and read back by transformers.
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = Path(__file__).parent
PROMPT, TEXT = 5, 12

SMALL = {"GPT2": 0.02, "GPTJ": 0.02, "GPTNeoX": 0.02, "opt-350m": 0.3}  # of embeddings
GPT2 = {"vocab_size": 71, "n_positions": 24, "n_embd": 24, "n_layer": 3, "n_head": 3}
LLAMA = {
  "vocab_size": 71,
  "hidden_size": 32,
  "intermediate_size": 40,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
  "num_key_value_heads": 2,
  "max_position_embeddings": 64,
  "rms_norm_eps": 1e-5,
}
LLAMA3_ROPE = {
  "rope_type": "llama3",
  "rope_theta": 100.0,
  "factor": 4.0,
  "low_freq_factor": 1.0,
  "high_freq_factor": 4.0,
  "original_max_position_embeddings": 16,
}
NEOX = {key: LLAMA[key] for key in LLAMA if key not in ("num_key_value_heads", "rms_norm_eps")}
NEOX |= {"num_attention_heads": 2, "layer_norm_eps": 1e-5}
GPTJ = {**GPT2, "n_embd": 32, "n_head": 2, "rotary_dim": 8}
OPT = {
  "vocab_size": 71,
  "hidden_size": 32,
  "ffn_dim": 40,
  "num_hidden_layers": 2,
  "num_attention_heads": 4,
  "max_position_embeddings": 24,
  "dropout": 0.0,
}
# Caps so low that they matter, and another scale of attention than the width of a head implies.
GEMMA = {
  **LLAMA,
  "num_hidden_layers": 3,
  "head_dim": 12,
  "query_pre_attn_scalar": 7,
  "sliding_window": 32,
  "rms_norm_eps": 1e-3,
}
LONGROPE = {
  "rope_type": "longrope",
  "rope_theta": 100.0,
  "short_factor": [1.0, 1.3, 1.9],
  "long_factor": [2.0, 4.0, 8.0],
  "partial_rotary_factor": 0.75,
}

MODELS = {
  "gpt2": ("GPT2", GPT2),
  "llama-grouped-tied": ("Llama", {**LLAMA, "tie_word_embeddings": True}),
  "llama3-untied-biases": (
    "Llama",
    {
      **LLAMA,
      "num_key_value_heads": 1,
      "head_dim": 12,
      "attention_bias": True,
      "mlp_bias": True,
      "rope_parameters": LLAMA3_ROPE,
    },
  ),
  "qwen2": ("Qwen2", {**LLAMA, "tie_word_embeddings": True}),
  "qwen3": ("Qwen3", {**LLAMA, "head_dim": 12, "tie_word_embeddings": False}),
  # 80 rows, as if padded beyond a tokenizer of 71 tokens.
  "gpt_neox-padded": ("GPTNeoX", {**NEOX, "vocab_size": 80}),
  "gpt_neox-sequential": (
    "GPTNeoX",
    {
      **NEOX,
      "use_parallel_residual": False,
      "attention_bias": False,
      "hidden_act": "gelu_fast",
      "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 1.0},
    },
  ),
  "gptj": ("GPTJ", GPTJ),
  "mistral": ("Mistral", {**LLAMA, "head_dim": 12, "sliding_window": 48}),
  "olmo2": ("Olmo2", {**LLAMA, "tie_word_embeddings": False}),
  "smollm3": ("SmolLM3", {**LLAMA, "num_hidden_layers": 4, "no_rope_layers": [1, 0, 1, 0]}),
  "opt": ("OPT", OPT),
  "opt-350m": ("OPT", {**OPT, "word_embed_proj_dim": 20, "do_layer_norm_before": False}),
  "phi3": (
    "Phi3",
    {
      **LLAMA,
      "rope_parameters": LONGROPE,
      "original_max_position_embeddings": 32,
      "sliding_window": 40,
    },
  ),
  "gemma2": (
    "Gemma2",
    {**GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 6.0},
  ),
  "gemma3": (
    "Gemma3Text",
    {
      **GEMMA,
      "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
      "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1_000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10.0},
      },
    },
  ),
  "gemma3-untied": ("Gemma3Text", {**GEMMA, "tie_word_embeddings": False}),
}
# Scalings of rotary embeddings, as Hugging Face computes them for heads of 16.
ROPES = {
  "linear": {"factor": 3.0},
  "dynamic": {"factor": 3.0},
  "llama3": {k: v for k, v in LLAMA3_ROPE.items() if k not in ("rope_type", "rope_theta")},
  "yarn": {"factor": 4.0, "original_max_position_embeddings": 128},
  "yarn-plain": {
    "factor": 4.0,
    "original_max_position_embeddings": 300,
    "truncate": False,
    "beta_fast": 8,
    "beta_slow": 2,
    "mscale": 0.7,
    "mscale_all_dim": 0.4,
  },
  "yarn-given": {
    "factor": 2.0,
    "original_max_position_embeddings": 256,
    "attention_factor": 1.25,
  },
  "longrope": {
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
    "long_factor": [9.0] * 8,
    "original_max_position_embeddings": 128,
    "factor": 4.0,
  },
}
GGUF_VOCABULARY = 258  # the end of sequence, every byte, and one merged token
GGUF_MODELS = {
  "gguf-gpt2": ("GPT2", {**GPT2, "n_positions": 1024, "n_embd": 32, "n_head": 4}),
  "gguf-llama": ("Llama", {**LLAMA, "intermediate_size": 64}),
  # transformers takes the width of a head from the class, not from the file.
  "gguf-qwen3": ("Qwen3", {**LLAMA, "intermediate_size": 64, "head_dim": 128}),
  "gguf-qwen2": ("Qwen2", {**LLAMA, "intermediate_size": 64, "tie_word_embeddings": True}),
}


def make_model(kind: str, options: dict, small: float):
  ids = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
  config = getattr(transformers, f"{kind}Config")(**ids, **options)
  for dropout in ("attn_pdrop", "embd_pdrop", "resid_pdrop"):
    if hasattr(config, dropout):
      setattr(config, dropout, 0.0)
  model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
  finals = ("ln_f.weight", "model.norm.weight", "gpt_neox.final_layer_norm.weight")
  finals += ("decoder.final_layer_norm.weight",)
  tables = ("wte.weight", "wpe.weight", "embed_tokens.weight", "embed_in.weight", "lm_head.weight")
  with torch.no_grad():
    for name, weight in model.named_parameters():
      if name.endswith((*tables, "embed_out.weight")):
        weight.normal_(0, small)
      elif name.endswith(finals):
        weight.normal_(0.4 / small, 0.08 / small)
      elif "norm" in name or "ln_" in name:
        weight.add_(0.3 * torch.randn_like(weight))
      else:
        weight.normal_(0, 0.3)
  return model


def compute(model, small: float) -> dict[str, np.ndarray]:
  """Logits, and the gradient of the text's log-loss at a prompt before it."""
  table = model.get_input_embeddings()
  prompt_PxD = (small * torch.randn(PROMPT, table.weight.shape[1])).requires_grad_()
  ids_T = torch.randint(71, (TEXT,))
  logits_SxV = model(inputs_embeds=torch.cat([prompt_PxD, table(ids_T)])[None]).logits[0]
  # Every text token is scored from the position before it.
  loss = torch.nn.functional.cross_entropy(logits_SxV[PROMPT - 1 : -1], ids_T)
  loss.backward()
  std = float(logits_SxV.detach().std())
  largest = float(prompt_PxD.grad.abs().max())
  assert std >= 1, std
  print(f"logits have standard deviation {std:.2f}, the largest gradient is {largest:.2f}")
  return {
    "prompt_PxD": prompt_PxD.detach().numpy(),
    "ids_T": ids_T.numpy().astype(np.int32),
    "logits_SxV": logits_SxV.detach().numpy(),
    "loss": loss.detach().numpy(),
    "gradient_PxD": prompt_PxD.grad.numpy(),
  }


def permute(rows: np.ndarray, heads: int) -> np.ndarray:
  """Rows of q and k in the order of interleaved rotary pairs."""
  halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
  return halves.swapaxes(1, 2).reshape(rows.shape)


def write_gguf(path: Path, model) -> None:
  config = model.config
  kind = config.model_type
  writer = gguf.GGUFWriter(path, kind)
  writer.add_context_length(config.max_position_embeddings)
  writer.add_embedding_length(config.hidden_size)
  writer.add_block_count(config.num_hidden_layers)
  writer.add_head_count(config.num_attention_heads)
  if kind == "gpt2":
    writer.add_feed_forward_length(4 * config.n_embd)
    writer.add_layer_norm_eps(config.layer_norm_epsilon)
  else:
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    head = getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
  alphabet = sorted(ByteLevel.alphabet())
  writer.add_tokenizer_model("gpt2")
  writer.add_tokenizer_pre({"gpt2": "gpt-2", "llama": "llama-bpe"}.get(kind, "qwen2"))
  writer.add_token_list(["<|endoftext|>", *alphabet, "th"])
  writer.add_token_types([3] + [1] * (len(alphabet) + 1))
  writer.add_token_merges(["t h"])
  writer.add_eos_token_id(0)
  names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, kind.upper()), 9)
  for name, weight in model.state_dict().items():
    if name == "lm_head.weight" and config.tie_word_embeddings:
      continue
    array = weight.numpy()
    if kind == "llama" and ".q_proj." in name:
      array = permute(array, config.num_attention_heads)
    if kind == "llama" and ".k_proj." in name:
      array = permute(array, config.num_key_value_heads)
    if kind == "gpt2" and array.ndim == 2 and ".h." in name:
      array = array.T  # Conv1D
    quantised = gguf.GGMLQuantizationType.F32
    if array.ndim == 2:
      in_table = "wte" in name or "embed" in name or "wpe" in name
      quantised = gguf.GGMLQuantizationType.Q8_0 if in_table else gguf.GGMLQuantizationType.Q4_1
    data = gguf.quantize(np.ascontiguousarray(array), quantised)
    writer.add_tensor(names.get_name(name, (".weight", ".bias")), data, raw_dtype=quantised)
  writer.write_header_to_file()
  writer.write_kv_data_to_file()
  writer.write_tensors_to_file()
  writer.close()


def compute_rope(kind: str, options: dict) -> dict:
  """The options of a configuration, and the frequencies and the scale that they mean."""
  parameters = {"rope_type": kind, "rope_theta": 5_000.0, **options}
  config = transformers.LlamaConfig(
    hidden_size=64, num_attention_heads=4, max_position_embeddings=512, rope_parameters=parameters
  )
  frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config, "cpu")
  return {"options": parameters, "frequencies": frequencies.tolist(), "scale": scale}


def main(only: list[str]):
  transformers.utils.logging.disable_progress_bar()
  ropes = {name: compute_rope(name.split("-")[0], options) for name, options in ROPES.items()}
  (HERE / "rope.json").write_text(json.dumps(ropes, indent=1) + "\n")
  for name, (kind, options) in MODELS.items():
    if only and name not in only:
      continue
    torch.manual_seed(0)
    print(name, end=": ")
    small = SMALL.get(name, SMALL.get(kind, 0.1))
    model = make_model(kind, options, small)
    model.save_pretrained(HERE / name)
    (HERE / name / "generation_config.json").unlink(missing_ok=True)
    np.savez(HERE / name / "golden.npz", **compute(model, small))
  for name, (kind, options) in GGUF_MODELS.items():
    if only and name not in only:
      continue
    torch.manual_seed(0)
    print(name, end=": ")
    (HERE / name).mkdir(exist_ok=True)
    small = SMALL.get(kind, 0.1)
    model = make_model(kind, {**options, "vocab_size": GGUF_VOCABULARY}, small)
    write_gguf(HERE / name / "model.gguf", model)
    model = AutoModelForCausalLM.from_pretrained(
      HERE / name, gguf_file="model.gguf", dtype=torch.float32, attn_implementation="eager"
    )
    np.savez(HERE / name / "golden.npz", **compute(model.eval(), small))


if __name__ == "__main__":
  main(sys.argv[1:])
