"""How well masks are carried through clips."""
