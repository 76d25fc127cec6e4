"""A graph of programs: its data, its check, and what runs it; nothing about TraceNet."""
