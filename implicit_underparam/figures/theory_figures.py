"""Figures 5 and A.21, and what the theorems' experiments show."""

from implicit_underparam.figures import drawing, layout, suites

# Of M_k, and of A M_k, which maps rewards to Q_k.
_KERNEL_RANKS = ('srank', 'srank_map')

FIGURES = (
    layout.PaperFigure(
        id='5',
        title='Deep linear network: rank, and distance to the TD fixed point',
        lines=(
            layout.Line('td_fixed_point', 'from near it', drawing.BLUE),
            layout.Line('td_far', 'from afar', drawing.ORANGE),
        ),
        columns=('srank', 'distance'),
        suite=suites.THEORY,
    ),
    layout.PaperFigure(
        id='a21',
        title='Deep linear network, |S||A| features: two effective ranks',
        lines=(
            layout.Line('grid_eig_offline', 'offline', drawing.BLUE),
            layout.Line('grid_eig_online', 'online', drawing.ORANGE),
            layout.Line('grid_eig_lazy', 'larger start', drawing.GREEN),
        ),
        columns=('srank', 'srank_lambda', 'normalized_return'),
        suite=suites.THEORY,
    ),
    layout.PaperFigure(
        id='th_kernel',
        title='Theorem 4.1: the rank of M_k in kernel regression',
        lines=(
            layout.Line('kernel_psd', 'S PSD', drawing.BLUE),
            layout.Line('kernel_symmetric', 'S symmetric', drawing.ORANGE),
            layout.Line('kernel_normal', 'S normal', drawing.GREEN),
            layout.Line('kernel_random', 'random MDP', drawing.PURPLE),
        ),
        columns=_KERNEL_RANKS,
        suite=suites.THEORY,
    ),
    layout.PaperFigure(
        id='th_kernel_gridworld',
        title='Theorem 4.1 on the gridworld',
        lines=(
            layout.Line('kernel_gridworld', 'RBF kernel', drawing.BLUE),
            layout.Line(
                'kernel_gridworld_ntk', "network's tangent kernel",
                drawing.ORANGE,
            ),
            layout.Line(
                'kernel_gridworld_off_policy', 'RBF, off-policy', drawing.GREEN
            ),
        ),
        columns=_KERNEL_RANKS,
        suite=suites.THEORY,
    ),
    layout.PaperFigure(
        id='th_sv',
        title='Proposition 4.1: how fast singular values of W_phi grow',
        lines=(
            layout.Line('deep_linear', 'N = 3', drawing.RISING[0]),
            layout.Line('deep_linear_n4', 'N = 4', drawing.RISING[2]),
            layout.Line('deep_linear_n5', 'N = 5', drawing.RISING[4]),
        ),
        columns=('growth_constant', 'sigma_max', 'sigma_second', 'srank'),
        suite=suites.THEORY,
    ),
    layout.PaperFigure(
        id='th_compound',
        title='Self-training: no reward, no dynamics',
        lines=(
            layout.Line(
                'self_training', 'weights copied', drawing.BLUE, 'srank_copied'
            ),
            layout.Line(
                'self_training', 'network anew', drawing.ORANGE, 'srank'
            ),
            layout.Line(
                'self_training', 'kernel', drawing.GREEN, 'srank_kernel'
            ),
        ),
        columns=('ranks',),
        suite=suites.THEORY,
    ),
)
