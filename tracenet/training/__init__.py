"""Training on taps: losses, loop and command line."""
