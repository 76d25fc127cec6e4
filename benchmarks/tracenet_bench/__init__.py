"""Latency of one tap, measured in pairs against a baseline."""
