"""What can be trained, each by the one loop."""
