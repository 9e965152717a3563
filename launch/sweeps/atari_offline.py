"""Every offline Atari experiment; on a laptop, of MinAtar."""

from launch.experiment import together
from launch.sweeps import (
  atari_cql,
  atari_cqlpen,
  atari_eig,
  atari_fqe,
  atari_mc,
  atari_off,
  atari_off4x,
  atari_pen,
)

SWEEP = together(
    'Atari, everything offline',
    (
        atari_off.SWEEP, atari_off4x.SWEEP, atari_cql.SWEEP, atari_fqe.SWEEP,
        atari_mc.SWEEP, atari_pen.SWEEP, atari_cqlpen.SWEEP, atari_eig.SWEEP,
    ),
)
