"""Scores of masks for taps: FullNet from a checkpoint, or the replay of a bundle."""
