"""The paper's claims, tested over seeds."""
