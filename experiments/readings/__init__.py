"""What readers see of wayward prompts: parts of `experiments.readers_bench`."""
