"""What a tap does with a bundle's schedules: one module for each strategy."""
