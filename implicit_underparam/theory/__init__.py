"""The paper's theorems as experiments, on the host in float64."""
