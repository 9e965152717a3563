"""One page about a folder of runs: what failed, what came out, of what."""
