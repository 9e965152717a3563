"""Agents: hyperparameters, initialisation, loss and policy, one file each."""
