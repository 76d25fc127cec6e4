"""Clips as files, read and written by PyAV: the extra `video`."""
