"""MinAtar: every Atari experiment, on three games.

The scale of a laptop; as printed there are no such runs, but those of
`atari_offline` and `atari_online`.
"""

import dataclasses

from launch.experiment import together
from launch.sweeps import atari_offline, atari_online, atari_sv

_ALL = together(
    'MinAtar, every Atari experiment',
    (atari_offline.SWEEP, atari_online.SWEEP, atari_sv.SWEEP),
)
SWEEP = dataclasses.replace(
    _ALL,
    scales={x: tasks for x, tasks in _ALL.scales.items() if x != 'paper'},
)
