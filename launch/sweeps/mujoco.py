"""Every MuJoCo experiment."""

from launch.experiment import together
from launch.sweeps import (
  gym_cql,
  gym_off,
  gym_on,
)

SWEEP = together(
    'MuJoCo, everything',
    (
        gym_off.SWEEP, gym_cql.SWEEP, gym_on.SWEEP,
    ),
)
