"""The folder of a bundle: its files, its manifest, its golden taps, and what of it answers."""
