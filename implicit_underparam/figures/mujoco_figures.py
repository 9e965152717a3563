"""Figures 2 right, 3 right, A.4, A.5 and A.7: SAC and CQL on MuJoCo.

One column of panels an environment. Figures 2 and 3 show some of those that
A.4 and A.7 show: so does a folder that holds some of the runs.
"""

from implicit_underparam.figures import drawing, layout, suites

RATIOS = ('1', '2', '4', '8', '16')  # n, gradient steps an environment step.
_PANELS = ('srank', 'eval_return')
_ONLINE = tuple(
    layout.Line(f'sac_online_n{ratio}', f'n = {ratio}', style)
    for ratio, style in zip(RATIOS, drawing.RISING, strict=True)
)

FIGURES = (
    layout.PaperFigure(
        id='2c',
        title='MuJoCo, offline SAC, 20% of an online run',
        lines=(layout.Line('sac_offline_20', 'SAC', drawing.BLUE),),
        columns=_PANELS,
        suite=suites.MUJOCO,
        also=('a4',),
    ),
    layout.PaperFigure(
        id='a5',
        title='MuJoCo, offline CQL, 20% of an online run',
        lines=(layout.Line('cql_offline_20', 'CQL', drawing.BLUE),),
        columns=_PANELS,
        suite=suites.MUJOCO,
    ),
    layout.PaperFigure(
        id='3c',
        title='MuJoCo, online SAC, n gradient steps an environment step',
        lines=_ONLINE,
        columns=_PANELS,
        suite=suites.MUJOCO,
        also=('a7',),
        x='environment_steps',
    ),
    layout.PaperFigure(
        id='a7_gradient',
        title='MuJoCo, online SAC, against gradient updates',
        lines=_ONLINE,
        columns=_PANELS,
        suite=suites.MUJOCO,
        x='gradient_steps',
    ),
)
