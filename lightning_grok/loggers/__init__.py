"""Where logged values go: a run's own log, and W&B."""
