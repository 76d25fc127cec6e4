"""Following a thing through a clip: what the host does between the programs."""
