"""One module a sweep; each has RUNS, a list of `launch.run.Run`."""
