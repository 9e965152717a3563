"""Claims that the paper makes of several Atari runs in the same words."""

from implicit_underparam.figures.verdicts import Claim

# 5% of the 512 features. This project's choice: the paper names no margin.
RANK_MARGIN = 0.05 * 512

RANK = ('srank',)
RETURN = ('eval_return',)
ERROR = ('td_error_huber',)


def falls(
    id_: str, run: str, text: str, column: str = 'srank'
) -> tuple[Claim, ...]:
  """What is said of a rank that collapses."""
  return (
      Claim(
          id_, f'{text}: {column} falls', 'fall', (column,), run,
          threshold=RANK_MARGIN,
      ),
      Claim(
          id_, f'{text}: {column} falls after the first fifth', 'settled drop',
          (column,), run,
      ),
  )


def keeps_rank(id_: str, run: str, text: str) -> tuple[Claim, ...]:
  """What is said of the rank with the penalty against that without."""
  penalized = f'{run}_penalty'
  return (
      Claim(
          id_, f'{text}: srank ends higher with the penalty', 'end', RANK,
          penalized, run,
      ),
      Claim(
          id_, f'{text}: srank falls less with the penalty', 'fall', RANK,
          penalized, run, side='below',
      ),
  )


def helps(id_: str, run: str, text: str, side: str = 'above') -> Claim:
  """What is said of the return with the penalty against that without."""
  higher = 'higher' if side == 'above' else 'lower'
  return Claim(
      id_, f'{text}: the return ends {higher} with the penalty', 'end', RETURN,
      f'{run}_penalty', run, side=side,
  )


def improves(
    id_: str, penalized: str, run: str, text: str, side: str = 'above',
    until: int = 0,
) -> tuple[Claim, ...]:
  """What is said of the return on all games together.

  Args:
    id_: of the experiment.
    penalized: the run with the penalty.
    run: that without.
    text: what they are.
    side: 'above' if it improves, 'below' if it gets worse.
    until: gradient steps up to which it is compared; 0 for the end.
  """
  along = 'gradient_steps' if until else ''
  sign = 'positive' if side == 'above' else 'negative'
  median = Claim(
      id_, f'{text}: the median relative improvement of the return is {sign}',
      'end', RETURN, penalized, run, side=side, until=until, along=along,
      over_games='median relative improvement',
  )
  if side == 'below':
    return (median,)
  most = Claim(
      id_, f'{text}: the return improves in most games', 'end', RETURN,
      penalized, run, threshold=0.5, until=until, along=along,
      over_games='share of games improved',
  )
  return median, most


def grows_more(run: str, text: str, small: str, decades: int) -> Claim:
  """What is said of the largest singular value against a smaller one."""
  factor = f'over {10**decades} times the factor of' if decades else (
      'a larger factor than'
  )
  return Claim(
      'ATARI-SV', f'{text}: sigma_1 grows by {factor} {small}',
      'growth ratio', ('sigma_1', small), run, threshold=decades,
  )
