"""Every online Atari experiment; on a laptop, of MinAtar."""

from launch.experiment import together
from launch.sweeps import (
  atari_on,
  atari_onpen,
  atari_rainbow,
  atari_rainbowpen,
  atari_target,
  atari_td,
)

SWEEP = together(
    'Atari, everything online',
    (
        atari_on.SWEEP, atari_td.SWEEP, atari_rainbow.SWEEP,
        atari_rainbowpen.SWEEP, atari_onpen.SWEEP, atari_target.SWEEP,
    ),
)
