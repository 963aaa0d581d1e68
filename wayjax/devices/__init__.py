"""Devices: which are used, how arrays are spread over them, and what fits in their memory."""
