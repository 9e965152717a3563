"""Figure A.8: online Rainbow, n gradient steps a step; on MinAtar, n = 4."""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, online Rainbow, n',
    ('ATARI-RAINBOW',),
    ('a8', 'minatar_a8'),
    at_scales(
        atari.online('rainbow_online', atari.SIXTEEN_GAMES, atari.RATIOS),
        minatar.online('rainbow_online', (4,)),
    ),
)
