"""Figures 2 right and A.4: offline SAC on 20% of an online run."""

from launch.experiment import Sweep
from launch.settings import mujoco

SWEEP = Sweep(
    'MuJoCo, offline SAC',
    ('GYM-OFF',),
    ('2c',),
    mujoco.offline('sac_offline'),
)
