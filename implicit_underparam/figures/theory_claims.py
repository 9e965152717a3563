"""Which statements of the paper there are, for `theory_statements` to judge."""

from implicit_underparam.figures.theory_deep_claims import DEEP_LINEAR
from implicit_underparam.figures.theory_kernel_claims import KERNEL
from implicit_underparam.figures.theory_statements import Statement

GRIDWORLD: tuple[Statement, ...] = (
    Statement(
        'Figure A.21', 'srank of |S||A| linear features falls by the end',
        'a21_srank_rise', tolerance=-0.5, at_end=True,
    ),
    Statement(
        'Figure A.21', 'srank_lambda of the same features falls by the end',
        'a21_srank_lambda_rise', tolerance=-0.5, at_end=True,
    ),
    Statement(
        'Figure A.21', 'srank and srank_lambda are within a tenth throughout',
        'a21_rank_difference', tolerance=0.1,
    ),
    Statement(
        'Figure 5', 'when srank drops, |Q - Q*| grows (log of its fall)',
        'drop_without_growth', tolerance=0.0,
    ),
)

STATEMENTS = (*KERNEL, *DEEP_LINEAR, *GRIDWORLD)
