"""Tuning: targets x gamma x constraints x seeds, batched over members and compiled."""
