"""Faults injected into real runs: what is promised when they come, counted."""
