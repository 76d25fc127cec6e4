"""Tasks, losses, the loop and its command line."""
