"""Latency, memory and accuracy of taps, under stated conditions."""
