"""The paper's figures and Table 1 by number, from runs of many setups and seeds."""
