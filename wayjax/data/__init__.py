"""From tasks and texts to packed rows of token ids, and the targets that prompts read as."""
