"""Kinds of schedules, one module each."""
