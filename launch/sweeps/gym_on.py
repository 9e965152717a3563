"""Figures 3 right and A.7: online SAC, n gradient steps a step."""

from launch.experiment import Sweep
from launch.settings import mujoco

SWEEP = Sweep(
    'MuJoCo, online SAC, n',
    ('GYM-ON',),
    ('3c', 'a7_gradient'),
    mujoco.online(),
)
