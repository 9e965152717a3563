"""Many runs at once: sweeps as data, and engines that run them."""
