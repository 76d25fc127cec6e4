"""What is measured, and how: configurations in processes of their own, in turn."""
