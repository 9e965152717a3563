"""MuJoCo: online SAC, and SAC and CQL from what it logged, on a laptop.

  python -m launch.sweep --sweep=mujoco --engine=local --base_dir=DIR

Runs lie in a folder for each environment, as Hopper/sac_online_n8, which is
what `--runs` of the figures takes. An offline run waits for the online one with
n = 1 of its environment: each of its seeds learns from 20% of the transitions
that the same seed of that one collected. `mujoco_paper` is the same at the
paper's scale.
"""

from launch.run import Run

ENVIRONMENTS = ('HalfCheetah', 'Hopper')
RATIOS = (1, 8)  # n.
_LOGGED = 'sac_online_n1'
# Name of an offline run, and its time in updates of SAC at equal iterations.
_OFFLINE = {'sac_offline': 1.0, 'cql_offline': 5.0}
# Where laptop.gin has 30: what the time allowed.
_SHORT = {
    'sac_online_n8': 'Runner.num_iterations = 5',
    'sac_offline': 'Runner.num_iterations = 16',
}
_PLAYING = 1.0  # Time of acting and evaluating, in gradient steps a step.


def online(environment: str, ratio: int, laptop: bool) -> Run:
  """Online SAC.

  Args:
    environment: without its version.
    ratio: n, gradient steps an environment step.
    laptop: whether it is shortened.
  """
  name = f'sac_online_n{ratio}'
  more = ('Runner.log_replay = True',) if name == _LOGGED else ()
  if laptop and name in _SHORT:
    more = (*more, _SHORT[name])
  # What others wait for is made first.
  cost = 100.0 if name == _LOGGED else _PLAYING + ratio
  return Run(
      f'{environment}/{name}',
      _files('sac_online', 'laptop' if laptop else ''),
      (
          f"environment_id = '{environment}-v4'",
          f'OnlineLoop.data_reuse_ratio = {ratio}',
          *more,
      ),
      cost,
  )


def offline(environment: str, agent: str, laptop: bool) -> Run:
  """Training from 20% of a log.

  Args:
    environment: without its version.
    agent: the configuration.
    laptop: whether it is shortened.
  """
  short = 'cql_laptop' if agent == 'cql_offline' else 'laptop'
  more = (_SHORT[agent],) if laptop and agent in _SHORT else ()
  log = f'{{base_dir}}/{environment}/{_LOGGED}/replay/{environment}-v4'
  return Run(
      f'{environment}/{agent}_20',
      _files(agent, short if laptop else ''),
      (
          f"environment_id = '{environment}-v4'",
          f"TransitionData.path = '{log}/{{seed}}/transitions'",
          *more,
      ),
      _OFFLINE[agent],
      (f'{environment}/{_LOGGED}',),
  )


def _files(*names: str) -> tuple[str, ...]:
  return tuple(f'gin_configs/mujoco/{name}.gin' for name in names if name)


RUNS = [
    run
    for environment in ENVIRONMENTS
    for run in (
        *(online(environment, ratio, laptop=True) for ratio in RATIOS),
        *(offline(environment, agent, laptop=True) for agent in _OFFLINE),
    )
]
