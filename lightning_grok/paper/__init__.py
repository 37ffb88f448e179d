"""The replication of one paper: its claims, its figures and its published numbers."""
