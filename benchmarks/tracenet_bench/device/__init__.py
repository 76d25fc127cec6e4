"""Phones: their profiles, what a process is constrained to by one, and projections to one."""
