"""What a report holds, and how it is written: JSON, Markdown, and a page with plots."""
