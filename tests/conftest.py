"""Settings for every test."""

import os

# Before JAX is imported anywhere: a test may not depend on what a machine has.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('MPLBACKEND', 'agg')
