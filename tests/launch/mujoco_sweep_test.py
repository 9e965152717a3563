"""The sweeps of the MuJoCo runs, against what figures and claims need."""

import shlex

import gin
from absl.testing import absltest, parameterized

from implicit_underparam import configuration, runner
from implicit_underparam.figures import collection as collection_lib
from implicit_underparam.figures import mujoco_claims, mujoco_figures, suites
from launch.sweeps import mujoco

_LAPTOP = {run.name: run for run in mujoco.SWEEP.scales['laptop']}
_PAPER = {run.name: run for run in mujoco.SWEEP.scales['paper']}
_OFFLINE = {'sac_offline_20', 'cql_offline_20'}


def _loop(run):
  gin.clear_config()
  configuration.parse(
      run.gin_files,
      [x.replace('{base_dir}', 'D') for x in run.bindings])
  return runner.Runner('/nowhere').loop


class SweepTest(parameterized.TestCase):

  def tearDown(self):
    gin.clear_config()
    super().tearDown()

  def test_names(self):
    self.assertEqual(set(_LAPTOP), {
        f'{x}/{y}' for x in ('HalfCheetah', 'Hopper')
        for y in ('sac_online_n1', 'sac_online_n8', *_OFFLINE)})
    self.assertEqual(set(_PAPER), {
        f'{x}/{y}' for x in (*mujoco_claims.EASIER, 'Ant')
        for y in (*(f'sac_online_n{n}' for n in (1, 2, 4, 8, 16)), *_OFFLINE)})

  def test_figures_and_claims_find_their_runs(self):
    there = {name.split('/')[1] for name in _PAPER}
    self.assertEqual(set(mujoco_claims.FAMILY.runs), there)
    for figure in mujoco_figures.FIGURES:
      self.assertContainsSubset(set(figure.runs), there)

  @parameterized.parameters(*_LAPTOP)
  def test_the_command_of_a_missing_run_is_the_sweep_s(self, name):
    environment, run = name.split('/')
    told = collection_lib.command(run, '', 'D', suites.MUJOCO)
    told = shlex.split(told.replace('ENVIRONMENT', environment))
    made = _LAPTOP[name].command('D')
    seeds = '--gin_bindings=Runner.seeds = (0, 1, 2)'
    self.assertEqual([*told[3:], seeds], made[3:])

  @parameterized.parameters(
      *(x for x in _LAPTOP if x.startswith('Hopper')),
      *(x for x in _PAPER if x.startswith('Ant')))
  def test_a_run_is_what_its_name_says(self, name):
    run = (_LAPTOP | _PAPER)[name]
    loop = _loop(run)
    environment, kind = name.split('/')
    agent, mode, last = kind.split('_')
    self.assertEqual(
        type(loop.learner.agent).__name__,
        {'sac': 'SACAgent', 'cql': 'ContinuousCQLAgent'}[agent])
    self.assertEqual(
        gin.query_parameter('%environment_id'), f'{environment}-v4')
    if mode == 'online':
      self.assertEqual(loop.data_reuse_ratio, int(last.removeprefix('n')))
      self.assertEqual(run.after, ())
    else:
      self.assertEqual(loop.data.fraction, 0.2)

  @parameterized.parameters(('laptop', _LAPTOP), ('paper', _PAPER))
  def test_an_offline_run_reads_what_the_online_one_logs(self, _, runs):
    for name, run in runs.items():
      if name.split('/')[1] not in _OFFLINE:
        continue
      online = runs[run.after[0]]
      _loop(online)
      self.assertTrue(gin.query_parameter('Runner.log_replay'))
      seeds = gin.query_parameter('Runner.seeds')
      environment = gin.query_parameter('%environment_id')
      loop = _loop(run)
      self.assertEqual(gin.query_parameter('Runner.seeds'), seeds)
      self.assertEqual(
          loop.data.path,
          f'D/{online.name}/replay/{environment}/{{seed}}/transitions')
      self.assertEqual(loop.data.id, environment)

  @parameterized.parameters(
      (_PAPER['Ant/sac_online_n16'], 5, 1_000_000),
      (_LAPTOP['Hopper/sac_online_n1'], 3, 30_000),
      (_LAPTOP['Hopper/sac_online_n8'], 3, 5_000),
  )
  def test_lengths(self, run, seeds, steps):
    loop = _loop(run)
    iterations = gin.query_parameter('Runner.num_iterations')
    self.assertEqual(loop.training_steps * iterations, steps)
    self.assertLen(gin.query_parameter('Runner.seeds'), seeds)


if __name__ == '__main__':
  absltest.main()
