"""Trains the small model that is shipped with wayjax for demonstrations."""
