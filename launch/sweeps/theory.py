"""Every check of the theory; its laptop scale is the only one."""

from launch.experiment import together
from launch.sweeps import (
  grid_eig,
  grid_tdfix,
  th_compound,
  th_eig,
  th_kernel,
  th_qrecur,
  th_sv,
)

SWEEP = together(
    'Theory, every check',
    (
        th_kernel.SWEEP, th_qrecur.SWEEP, th_eig.SWEEP, th_sv.SWEEP,
        th_compound.SWEEP, grid_eig.SWEEP, grid_tdfix.SWEEP,
    ),
)
