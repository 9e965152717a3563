"""Figure A.14: as A.13, on 4 times the data."""

from implicit_underparam.figures import layout, penalty_lines, suites

FIGURE = layout.PaperFigure(
    id='a14',
    title='Atari, offline DQN, penalty of Eq. 6',
    lines=penalty_lines.lines('dqn_offline', '20'),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI,
)
