"""Figure A.8: online Rainbow with n gradient steps an environment step."""

from implicit_underparam.figures import layout, reuse, suites

FIGURE = layout.PaperFigure(
    id='a8',
    title='Atari, online Rainbow, n gradient steps an environment step',
    lines=reuse.lines('rainbow_online'),
    columns=('srank', 'eval_return'),
    suite=suites.ATARI_ONLINE,
)
