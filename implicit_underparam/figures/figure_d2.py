"""Figure D.2: the ranks of features ("Main") and of a target's ("Target")."""

from implicit_underparam.figures import drawing, layout, suites

_TARGET = '$P^\\pi Q$'
_FEW, _MANY = 'dqn_online_n4_target', 'dqn_online_n8_target'

FIGURE = layout.PaperFigure(
    id='d2',
    title='Atari, online DQN, rank of the target',
    lines=(
        layout.Line(_FEW, 'n = 4, $Q$', drawing.BLUE, 'srank'),
        layout.Line(
            _FEW, f'n = 4, fit to {_TARGET}', drawing.ORANGE, 'srank_target'
        ),
        layout.Line(_MANY, 'n = 8, $Q$', drawing.BLACK, 'srank'),
        layout.Line(
            _MANY, f'n = 8, fit to {_TARGET}', drawing.PURPLE, 'srank_target'
        ),
    ),
    columns=('ranks',),
    suite=suites.ATARI_ONLINE,
)
