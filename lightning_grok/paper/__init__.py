"""The replication of one paper: its claims, its figures and its published numbers.

Its checkpoints are the round epochs of `lightning_grok.schedule`: 28 to epoch 10,000, 32 to 50,000.
"""
