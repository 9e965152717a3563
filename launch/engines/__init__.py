"""What runs a sweep's tasks: this machine, a Ray cluster, Slurm."""
