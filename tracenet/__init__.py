"""TraceNet: one-tap segmentation by tracing receptive fields (arXiv 2406.14874). Needs torch."""
