"""Victims' networks, (N, C, T, V, M) -> logits (N, num_classes), and their preprocessing."""
