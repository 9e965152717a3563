"""Tests of CQL(H) on SAC against loops over sampled actions and integrals."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import plain_sac
from absl.testing import absltest, parameterized
from plain_sac import RNG, SIZE, B, make_agent, make_batch

from implicit_underparam import errors, learner, types
from implicit_underparam.agents import continuous_cql, sac

N = 3
_MULTIPLIER = 'log_cql_multiplier'


def make(base=None, **options):
  options = {'num_sampled_actions': N} | options
  return continuous_cql.ContinuousCQLAgent(base or make_agent(), **options)


@functools.cache
def compiled(agent):
  """-> its loss, and the gradient of the mean of its losses."""

  def mean(params, *rest):
    output = agent.loss(params, *rest)
    return jnp.mean(output.losses), output

  gradient = jax.grad(mean, has_aux=True)
  return jax.jit(lambda *x: gradient(*x)[::-1])


def find_gaps(agent, params, batch, rng):
  """`gaps`, with the critics' output at the data."""
  critics = agent.base.critics(params, batch.state, batch.action)
  return agent.gaps(params, critics, batch, rng)


class Drawn:
  """3 N actions for every state, and the logarithms of their densities."""

  def __init__(self, params, batch, rng):
    uniform_rng, here_rng, there_rng = jax.random.split(rng, 3)
    uniform = jax.random.uniform(uniform_rng, (N, B, SIZE), minval=-1)
    self.pairs = [
        (action, [math.log(0.5**SIZE)] * B) for action in np.asarray(uniform)
    ]
    for key, state in (
        (here_rng, batch.state), (there_rng, batch.next_state)
    ):  # fmt: skip
      self.pairs += [
          plain_sac.draw(params, state, jax.random.normal(x, (B, SIZE)))
          for x in jax.random.split(key, N)
      ]


def plain_gaps(params, batch, drawn, temperature):
  """[2, B], a sum over actions that is written out."""
  gaps = np.zeros((2, B))
  for j in range(2):
    sums = np.zeros(B)
    for action, log in drawn.pairs:
      q_values, _ = plain_sac.critic(params, j + 1, batch.state, action)
      sums += np.exp((q_values - log) / temperature)
    data, _ = plain_sac.critic(params, j + 1, batch.state, batch.action)
    gaps[j] = temperature * np.log(sums) - data
  return gaps


class Float64Test(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    jax.config.update('jax_enable_x64', True)
    self.addCleanup(jax.config.update, 'jax_enable_x64', False)
    self.batch = make_batch()

  @parameterized.parameters(
      {'cql_coefficient': 2.5},
      {'cql_coefficient': 0.5, 'cql_temperature': 0.7},
  )
  def test_adds_the_gap_and_its_gradient(self, **options):
    agent, batch = make(**options), self.batch
    params, target_params = (
        plain_sac.make_params(agent, seed) for seed in (1, 2)
    )
    base_rng, draw_rng = jax.random.split(RNG)
    without, base_gradient = compiled(agent.base)(
        params, target_params, batch, base_rng
    )
    drawn = Drawn(params, batch, draw_rng)
    gaps = plain_gaps(params, batch, drawn, agent.cql_temperature)
    found, gradient = compiled(agent)(params, target_params, batch, RNG)
    np.testing.assert_allclose(
        found.losses - without.losses,
        agent.cql_coefficient * (gaps[0] + gaps[1]), rtol=1e-7,
    )  # fmt: skip
    np.testing.assert_allclose(found.metrics['cql_gap'], gaps.mean())
    for name, value in without.metrics.items():
      np.testing.assert_array_equal(found.metrics[name], value)
    jax.tree.map(
        np.testing.assert_array_equal, found.features, without.features
    )
    # The actions are drawn once: the actor gets nothing of the gap.
    added = jax.tree.map(lambda x, y: np.float64(x - y), gradient,
                         base_gradient)
    jax.tree.map(
        lambda x: np.testing.assert_allclose(x, 0, atol=1e-12),
        {name: added[name] for name in ('actor', 'log_temperature')},
    )
    for part in sac.CRITICS:
      plain_sac.check_gradient(
          added,
          lambda x: agent.cql_coefficient * plain_gaps(
              x, batch, drawn, agent.cql_temperature
          ).mean(axis=1).sum(),
          params, part,
      )  # fmt: skip

  @parameterized.parameters(0.0, 1.3)
  def test_lagrange(self, log_multiplier):
    threshold, coefficient, batch = 2.0, 1.5, self.batch
    agent = make(
        cql_coefficient=coefficient, lagrange_threshold=threshold
    )
    params = plain_sac.make_params(agent, 1)
    params[_MULTIPLIER] = jnp.float64(log_multiplier)
    base_rng, draw_rng = jax.random.split(RNG)
    _, base_gradient = compiled(agent.base)(
        {k: v for k, v in params.items() if k != _MULTIPLIER}, params, batch,
        base_rng,
    )  # fmt: skip
    drawn = Drawn(params, batch, draw_rng)
    found, gradient = compiled(agent)(params, params, batch, RNG)
    multiplier = math.exp(log_multiplier)
    np.testing.assert_allclose(found.metrics['cql_multiplier'], multiplier)
    # Of the dual function: multiplier (alpha gap - tau) is ascended, half of
    # it for each critic.
    excess = coefficient * plain_gaps(params, batch, drawn, 1.0) - threshold
    np.testing.assert_allclose(
        gradient[_MULTIPLIER], -multiplier * excess.mean(), rtol=1e-7
    )
    for part in ('actor', 'log_temperature'):
      jax.tree.map(
          lambda x, y: np.testing.assert_allclose(x, y, atol=1e-12),
          gradient[part], base_gradient[part],
      )  # fmt: skip
    for part in sac.CRITICS:
      added = jax.tree.map(
          lambda x, y: np.float64(x - y), gradient[part], base_gradient[part]
      )
      plain_sac.check_gradient(
          {part: added},
          lambda x: multiplier * coefficient * plain_gaps(
              x, batch, drawn, 1.0
          ).mean(axis=1).sum(),
          params, part,
      )  # fmt: skip

  def test_the_multiplier_is_bounded(self):
    agent = make(cql_coefficient=1.5, lagrange_threshold=2.0)
    params = plain_sac.make_params(agent, 1)
    params[_MULTIPLIER] = jnp.float64(20)
    found, gradient = compiled(agent)(params, params, self.batch, RNG)
    self.assertEqual(found.metrics['cql_multiplier'], 1e6)
    self.assertEqual(gradient[_MULTIPLIER], 0)


class IntegralTest(parameterized.TestCase):

  def test_the_sum_is_an_integral(self):
    """log mean_i exp(Q(s, a_i)) / density(a_i) -> log int exp Q(s, a) da."""
    agent = make(num_sampled_actions=8000)
    params = jax.tree.map(np.float32, plain_sac.make_params(agent, 1))
    # Wide policies: the sum over a narrow one's actions is far from its limit.
    last = params['actor']['params']['Dense_2']
    last['kernel'] = 0.2 * last['kernel']
    last['bias'] = np.repeat(np.float32([0, 0.4]), SIZE)
    batch = jax.tree.map(np.asarray, make_batch())
    found = jax.jit(functools.partial(find_gaps, agent))(params, batch, RNG)
    width = 2 / 80
    line = -1 + width * (np.arange(80) + 0.5)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, SIZE)
    for i in range(B):
      state = np.repeat(batch.state[i : i + 1], len(grid), axis=0)
      for j in range(2):
        q_values, _ = plain_sac.critic(params, j + 1, state, grid)
        data, _ = plain_sac.critic(
            params, j + 1, batch.state[i : i + 1], batch.action[i : i + 1]
        )
        want = math.log(np.exp(q_values).sum() * width**2) - data[0]
        self.assertAlmostEqual(
            float(found[j, i]) - math.log(3 * 8000), want, delta=0.06
        )


class LearningTest(parameterized.TestCase):

  @parameterized.parameters((0.0, 1), (50.0, -1))
  def test_the_multiplier_rises_with_the_gap_above_its_threshold(
      self, threshold, sign
  ):
    """And falls below it, until the gap is where it is wanted."""
    agent = make(cql_coefficient=1.0, lagrange_threshold=threshold)
    batch = jax.tree.map(np.asarray, make_batch())
    subject = learner.Learner(agent, optax.sgd(1e-3))
    params = jax.tree.map(np.float32, plain_sac.make_params(agent, 1))
    params[_MULTIPLIER] = np.float32(0)
    train = types.TrainState(
        params, params, subject.optimizer.init(params), jnp.int32(0)
    )
    step, found = jax.jit(subject.step), []
    for i in range(5):
      train, metrics = step(
          train, batch, jax.random.key(i), subject.hyperparameters(1)
      )
      self.assertGreater(sign * (metrics['cql_gap'] - threshold), 0)
      found.append(metrics['cql_multiplier'])
    self.assertEqual(found[0], 1)
    self.assertGreater(min(sign * np.diff(found)), 0)

  def test_the_gap_shrinks(self):
    """What it is for: values of actions that the data has not, brought down."""
    batch = jax.tree.map(np.asarray, make_batch())
    gaps = []
    for coefficient in (0.0, 5.0):
      agent = make(cql_coefficient=coefficient)
      subject = learner.Learner(agent, optax.adam(3e-3))
      params = jax.tree.map(np.float32, plain_sac.make_params(agent, 1))
      train = types.TrainState(
          params, params, subject.optimizer.init(params), jnp.int32(0)
      )
      step = jax.jit(subject.step)
      for i in range(100):
        train, metrics = step(
            train, batch, jax.random.key(i), subject.hyperparameters(1)
        )
      gaps.append(float(metrics['cql_gap']))
    self.assertLess(gaps[1], gaps[0] - 1)


class BaseTest(parameterized.TestCase):

  def test_everything_else_is_the_bases(self):
    base = make_agent(gamma=0.5, update_horizon=4)
    agent = make(base)
    self.assertEqual((agent.gamma, agent.update_horizon), (0.5, 4))
    self.assertFalse(agent.needs_returns)
    batch = make_batch()
    params = jax.tree.map(np.float32, plain_sac.make_params(agent, 1))
    for name, arguments in (
        ('act', (batch.state,)), ('explore', (batch.state, RNG, 0.5)),
        ('probe', (params, batch, RNG)),
    ):  # fmt: skip
      found, want = (
          jax.jit(getattr(x, name))(params, *arguments) for x in (agent, base)
      )
      jax.tree.map(np.testing.assert_array_equal, found, want)

  def test_parameters_are_the_bases_and_the_dual_variable(self):
    found, want, dual = (
        jax.eval_shape(x.init, RNG, make_batch().state)
        for x in (make(), make_agent(), make(lagrange_threshold=5.0))
    )
    self.assertEqual(found, want)
    self.assertSameElements(dual, [*want, _MULTIPLIER])


class BadOptionsTest(parameterized.TestCase):

  @parameterized.parameters(
      ({'base': 'SAC'}, 'ContinuousCQLAgent.base is of type str: .*SACAgent'),
      ({'cql_coefficient': -1.0}, 'cql_coefficient is -1.0: .*0 or more'),
      ({'cql_coefficient': float('nan')}, 'cql_coefficient is nan'),
      ({'num_sampled_actions': 0}, 'num_sampled_actions is 0: .*from 1'),
      ({'cql_temperature': 0}, 'cql_temperature is 0: .*above 0'),
      ({'lagrange_threshold': -1.0}, 'lagrange_threshold is -1.0'),
  )
  def test_are_named(self, options, message):
    with self.assertRaisesRegex(errors.UserError, message):
      make(**options)


if __name__ == '__main__':
  absltest.main()
