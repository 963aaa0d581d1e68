"""Text that a model goes on with: after soft prompts, after texts, many sequences at once."""
