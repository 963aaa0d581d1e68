"""Makes gpt2/: a small random GPT-2 and what Hugging Face's PyTorch computes from it.

    pip install torch transformers && python tests/goldens/make_gpt2.py

Embeddings are small, so that the layer norms' epsilon matters; the other weights are large, so that
logits have a standard deviation above 1 and every part of the model matters.
"""

from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

FOLDER = Path(__file__).parent / "gpt2"
PROMPT, TEXT = 5, 12


def main():
  torch.manual_seed(0)
  config = GPT2Config(
    vocab_size=71, n_positions=24, n_embd=24, n_layer=3, n_head=3, attn_pdrop=0, embd_pdrop=0,
    resid_pdrop=0, bos_token_id=0, eos_token_id=0,
  )  # fmt: skip
  model = GPT2LMHeadModel(config).eval()
  with torch.no_grad():
    for name, weight in model.named_parameters():
      if "wte" in name or "wpe" in name:
        weight.normal_(0, 0.02)
      elif "ln_f.weight" in name:
        weight.normal_(20, 4)
      elif "ln_" in name:
        weight.add_(0.3 * torch.randn_like(weight))
      else:
        weight.normal_(0, 0.3)
  model.save_pretrained(FOLDER)
  (FOLDER / "generation_config.json").unlink(missing_ok=True)

  prompt_PxD = (0.02 * torch.randn(PROMPT, config.n_embd)).requires_grad_()
  ids_T = torch.randint(config.vocab_size, (TEXT,))
  x_SxD = torch.cat([prompt_PxD, model.transformer.wte(ids_T)])
  logits_SxV = model(inputs_embeds=x_SxD[None]).logits[0]
  # Every text token is scored from the position before it.
  loss = torch.nn.functional.cross_entropy(logits_SxV[PROMPT - 1 : -1], ids_T)
  loss.backward()
  std = float(logits_SxV.detach().std())
  assert std >= 1, std
  np.savez(
    FOLDER / "golden.npz",
    prompt_PxD=prompt_PxD.detach().numpy(),
    ids_T=ids_T.numpy().astype(np.int32),
    logits_SxV=logits_SxV.detach().numpy(),
    loss=loss.detach().numpy(),
    gradient_PxD=prompt_PxD.grad.numpy(),
  )
  largest = float(prompt_PxD.grad.abs().max())
  print(f"logits have standard deviation {std:.2f}, the largest gradient is {largest:.2f}")


if __name__ == "__main__":
  main()
