"""The settings that several sweeps share, a module an environment."""
