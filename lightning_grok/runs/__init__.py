"""A run's directory: written while it trains, read by everything else."""
