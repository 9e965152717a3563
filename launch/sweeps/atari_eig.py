"""Figure A.20: two effective ranks of the runs of Figure A.1."""

from launch.experiment import Sweep, at_scales
from launch.settings import atari, minatar

SWEEP = Sweep(
    'Atari, two effective ranks',
    ('ATARI-EIG',),
    ('a20', 'minatar_a20'),
    at_scales(
        atari.offline('dqn_offline', atari.FIVE_GAMES, (5,)),
        minatar.offline('dqn_offline', (20,)),
    ),
)
