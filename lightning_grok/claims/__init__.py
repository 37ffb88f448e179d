"""Claims about runs, written in YAML and tested over seeds: held, failed or undecided."""
