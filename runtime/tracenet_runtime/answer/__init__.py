"""What a graph's outputs mean in TraceNet: levels, boxes, the mask head, looks."""
