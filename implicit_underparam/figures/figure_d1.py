"""Figure D.1: the singular values of the features over training."""

from implicit_underparam.figures import layout, singular_values, suites

FIGURE = layout.PaperFigure(
    id='d1',
    title='Atari, offline DQN, singular values',
    lines=singular_values.lines('dqn_offline', share='5'),
    columns=('singular_values',),
    suite=suites.ATARI,
)
