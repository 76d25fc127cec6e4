"""The former place of what :mod:`tracenet.data` exports."""

from tracenet.data.annotated import IGNORE, AnnotatedPhoto, DataError, PhotoDataset

__all__ = ["IGNORE", "AnnotatedPhoto", "DataError", "PhotoDataset"]
