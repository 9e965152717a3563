"""Figure A.5: offline CQL on 20% of an online run."""

from launch.experiment import Sweep
from launch.settings import mujoco

SWEEP = Sweep(
    'MuJoCo, offline CQL',
    ('GYM-CQL',),
    ('a5',),
    mujoco.offline('cql_offline'),
)
