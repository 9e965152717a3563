"""MuJoCo as in the paper: four environments, a million steps, five seeds.

Runs lie as those of `mujoco` do. Which n the paper has for which environment
its text does not say: all of them are here for each.
"""

from launch.sweeps.mujoco import offline, online

ENVIRONMENTS = ('HalfCheetah', 'Hopper', 'Walker2d', 'Ant')
RATIOS = (1, 2, 4, 8, 16)  # n.

RUNS = [
    run
    for environment in ENVIRONMENTS
    for run in (
        *(online(environment, ratio, laptop=False) for ratio in RATIOS),
        offline(environment, 'sac_offline', laptop=False),
        offline(environment, 'cql_offline', laptop=False),
    )
]
