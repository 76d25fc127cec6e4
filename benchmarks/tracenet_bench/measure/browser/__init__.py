"""Taps and frames in a browser, timed beside the native engine's."""
