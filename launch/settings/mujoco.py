"""MuJoCo's configurations: SAC online, and SAC and CQL from what it logged.

Runs lie in a folder for each environment, as Hopper/sac_online_n8. Each seed
of an offline run learns from 20% of the transitions that the same seed of the
online run with n = 1 collected. At the paper's scale every n is run in every
environment: the text does not say which n the paper has for which.

Costs on a laptop are minutes of one of two busy cores, as results/mujoco was
made (112 gradient steps a second on a quiet one). Those at the paper's scale
are estimates: nothing of this size was run. They suppose a quarter of a card of
the A100 class that takes 1,000 gradient steps of SAC a second, or 300 of CQL,
five seeds in one program, and 5,000 agent steps a second in evaluation.
"""

from typing import NamedTuple

from launch.grid import NONE, Grid, Setting, runs
from launch.run import Resources, Task

_LOGGED = '1'  # n of the online run that the offline ones read.
_KEPT = 'Runner.log_replay = True'
# Two cores to step five environments at once, and a quarter of a card for five
# seeds of two critics of 2 x 256, and their replay of 1.2 GB.
_PAPER = Resources(cpus=2, gpus=0.25)
_SMOKE = (
    'Runner.num_iterations = 2',
    'EpisodeEvaluation.num_steps = 50',
    'EpisodeEvaluation.num_environments = 1',
)
_SMOKE_ONLINE = (
    *_SMOKE,
    'OnlineLoop.training_steps = 300',
    'OnlineLoop.min_replay_history = 300',
    'OnlineLoop.probe_size = 256',
    'Replay.batch_size = 32',
)
_SMOKE_OFFLINE = (
    *_SMOKE,
    'OfflineLoop.gradient_steps = 20',
    'OfflineLoop.steps_per_dispatch = 20',
    'OfflineLoop.probe_size = 256',
    'TransitionData.batch_size = 32',
)


class _Scale(NamedTuple):
  """What the runs of a scale have in common.

  Fields:
    environments: without their version.
    seeds: of each run.
    online: n -> how long, and what it costs.
    offline: configuration -> likewise.
    files: given last: of every agent but CQL, and of CQL.
    resources: of every run.
  """

  environments: tuple[str, ...]
  seeds: tuple[int, ...]
  online: dict[str, Setting]
  offline: dict[str, Setting]
  files: tuple[tuple[str, ...], tuple[str, ...]]
  resources: Resources = Resources()


def _length(minutes: float, *bindings: str) -> Setting:
  return Setting('', gin_bindings=bindings, cost=minutes)


_SHORT_FILES = (('laptop',), ('cql_laptop',))
_SCALES = {
    'smoke': _Scale(
        ('Hopper',),
        (0, 1),
        {x: _length(0.5, *_SMOKE_ONLINE) for x in ('1', '8')},
        {
            'sac_offline': _length(0.4, *_SMOKE_OFFLINE),
            'cql_offline': _length(0.5, *_SMOKE_OFFLINE),
        },
        _SHORT_FILES,
    ),
    'laptop': _Scale(
        ('HalfCheetah', 'Hopper'),
        (0, 1, 2),
        # Where laptop.gin has 30 iterations: what the time allowed.
        {'1': _length(40.0), '8': _length(34.0, 'Runner.num_iterations = 5')},
        {
            'sac_offline': _length(10.0, 'Runner.num_iterations = 16'),
            'cql_offline': _length(9.5),
        },
        _SHORT_FILES,
    ),
    'paper': _Scale(
        ('HalfCheetah', 'Hopper', 'Walker2d', 'Ant'),
        (0, 1, 2, 3, 4),
        # A million steps of acting, evaluations, and n million updates.
        {x: _length(35.0 + 17.0 * int(x)) for x in ('1', '2', '4', '8', '16')},
        # Figures A.4 and A.5 end after 400 times 8,000 updates.
        {
            'sac_offline': _length(120.0, 'Runner.num_iterations = 400'),
            'cql_offline': _length(245.0, 'Runner.num_iterations = 400'),
        },
        ((), ()),
        _PAPER,
    ),
}


def online() -> dict[str, tuple[Task, ...]]:
  """Online SAC, with every n of a scale."""
  return {
      scale: runs([_online_grid(one, x) for x in one.online])
      for scale, one in _SCALES.items()
  }


def offline(agent: str) -> dict[str, tuple[Task, ...]]:
  """Runs that train on 20% of a log, and the online runs that leave it.

  Args:
    agent: 'sac_offline' or 'cql_offline'.
  """
  return {
      scale: runs([_online_grid(one, _LOGGED), _offline_grid(one, agent)])
      for scale, one in _SCALES.items()
  }


def _online_grid(scale: _Scale, ratio: str) -> Grid:
  logged = ratio == _LOGGED
  kept = Setting('', gin_bindings=(_KEPT,)) if logged else NONE
  return Grid(
      f'{{environment}}/sac_online_n{ratio}{{kept}}{{length}}',
      _files('sac_online'),
      (
          "environment_id = '{environment}-v4'",
          f'OnlineLoop.data_reuse_ratio = {ratio}',
      ),
      {
          'environment': scale.environments,
          'kept': (kept,),
          'length': (scale.online[ratio],),
      },
      last_files=_files(*scale.files[0]),
      seeds=scale.seeds,
      resources=scale.resources,
      whole=logged,
  )


def _offline_grid(scale: _Scale, agent: str) -> Grid:
  logged = f'{{environment}}/sac_online_n{_LOGGED}'
  log = f'{{{{base_dir}}}}/{logged}/replay/{{environment}}-v4/{{{{seed}}}}'
  return Grid(
      f'{{environment}}/{agent}_20{{length}}',
      _files(agent),
      (
          "environment_id = '{environment}-v4'",
          f"TransitionData.path = '{log}/transitions'",
      ),
      {
          'environment': scale.environments,
          'length': (scale.offline[agent],),
      },
      last_files=_files(*scale.files[agent == 'cql_offline']),
      seeds=scale.seeds,
      resources=scale.resources,
      after=(logged,),
  )


def _files(*names: str) -> tuple[str, ...]:
  return tuple(f'gin_configs/mujoco/{name}.gin' for name in names)
