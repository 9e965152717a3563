"""Tests of SAC: each loss and gradient against NumPy's float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import plain_sac
from absl.testing import absltest, parameterized
from plain_sac import GAMMA, RNG, SIZE, B, K, make_agent, make_batch

from implicit_underparam import errors, learner, penalties, types
from implicit_underparam.agents import sac

_OPTIONS = (
    {},
    {'temperature': 0.25, 'update_horizon': 3},
    {'entropy_in_target': False, 'target_entropy': -0.75, 'cloning_steps': 5},
)
# With the gradient steps taken before: the last of cloning, the first after.
_CASES = (*((x, 5) for x in _OPTIONS), (_OPTIONS[-1], 4))


@functools.cache
def compiled(agent):
  """-> its loss, and the gradient of the mean of its losses."""

  def mean(params, *rest):
    output = agent.loss(params, *rest)
    return jnp.mean(output.losses), output

  gradient = jax.grad(mean, has_aux=True)
  return jax.jit(lambda *x: gradient(*x)[::-1])


class Plain:
  """What SAC minimises, from the noise that it draws."""

  def __init__(self, agent, batch, rng):
    self.agent, self.batch = agent, batch
    target_rng, actor_rng = jax.random.split(rng)
    self.target_noise = jax.random.normal(target_rng, (B, SIZE))
    self.noise = jax.random.normal(actor_rng, (B, SIZE))

  def temperature(self, params):
    fixed = self.agent.temperature
    return np.exp(params['log_temperature']) if fixed is None else fixed

  def targets(self, params, target_params):
    batch = self.batch
    action, log = plain_sac.draw(params, batch.next_state, self.target_noise)
    values = plain_sac.smaller(target_params, batch.next_state, action)
    if self.agent.entropy_in_target:
      values = values - self.temperature(params) * log
    discount = GAMMA**self.agent.update_horizon
    return np.array([
        batch.reward[i] if batch.is_terminal[i]
        else batch.reward[i] + discount * values[i]
        for i in range(B)
    ])

  def critic_losses(self, params, target):
    errors_ = [
        plain_sac.critic(params, i, self.batch.state, self.batch.action)[0]
        - target
        for i in (1, 2)
    ]
    return errors_[0] ** 2 / 2 + errors_[1] ** 2 / 2

  def actor_losses(self, actor, params):
    """The actor's parameters are the first's, all others the second's."""
    batch = self.batch
    action, log = plain_sac.draw(actor, batch.state, self.noise)
    if batch.gradient_steps < self.agent.cloning_steps:
      gained = plain_sac.log_density(
          *plain_sac.policy(actor, batch.state),
          np.arctanh(np.float64(batch.action)),
      )
    else:
      gained = plain_sac.smaller(params, batch.state, action)
    return self.temperature(params) * log - gained

  def temperature_losses(self, log_temperature, params):
    if self.agent.temperature is not None:
      return np.zeros(B)
    _, log = plain_sac.draw(params, self.batch.state, self.noise)
    wanted = self.agent.target_entropy
    return -log_temperature * (log + (-SIZE if wanted is None else wanted))


class Float64Test(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    jax.config.update('jax_enable_x64', True)
    self.addCleanup(jax.config.update, 'jax_enable_x64', False)

  @parameterized.parameters(*_CASES)
  def test_losses_and_metrics(self, options, gradient_steps):
    agent, batch = make_agent(**options), make_batch(0, gradient_steps)
    params, target_params = (
        plain_sac.make_params(agent, seed) for seed in (1, 2)
    )
    plain = Plain(agent, batch, RNG)
    target = plain.targets(params, target_params)
    critic_losses = plain.critic_losses(params, target)
    actor_losses = plain.actor_losses(params, params)
    losses = critic_losses + actor_losses + plain.temperature_losses(
        params['log_temperature'], params
    )
    found, _ = compiled(agent)(params, target_params, batch, RNG)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-7)
    q_values, features = plain_sac.critic(
        params, 1, batch.state, batch.action
    )
    want = {
        'loss': critic_losses.mean(),
        'actor_loss': actor_losses.mean(),
        'td_error': np.abs(q_values - target).mean(),
        'data_q_value': q_values.mean(),
        'entropy': -plain_sac.draw(params, batch.state, plain.noise)[1].mean(),
        'temperature': plain.temperature(params),
    }
    self.assertSameElements(found.metrics, want)
    for name, value in want.items():
      np.testing.assert_allclose(
          found.metrics[name], value, rtol=1e-7, err_msg=name
      )
    np.testing.assert_allclose(found.features[0], features, rtol=1e-7)

  @parameterized.parameters(*_CASES)
  def test_gradients(self, options, gradient_steps):
    agent, batch = make_agent(**options), make_batch(0, gradient_steps)
    params = plain_sac.make_params(agent, 1)
    plain = Plain(agent, batch, RNG)
    target = plain.targets(params, params)
    # Online and target parameters are one: what flowed through a target, or
    # from one part's loss to another part's parameters, would show.
    _, gradient = compiled(agent)(params, params, batch, RNG)
    for part, objective in (
        ('critic_1', lambda x: plain.critic_losses(x, target).mean()),
        ('critic_2', lambda x: plain.critic_losses(x, target).mean()),
        ('actor', lambda x: plain.actor_losses(x, params).mean()),
        ('log_temperature', lambda x: plain.temperature_losses(
            x['log_temperature'], params
        ).mean()),
    ):  # fmt: skip
      plain_sac.check_gradient(gradient, objective, params, part)
    if agent.temperature is not None:
      self.assertEqual(gradient['log_temperature'], 0)

  def test_these_numbers_tell_the_rules_apart(self):
    batch = make_batch()
    plain = Plain(make_agent(), batch, RNG)
    params, other = (
        plain_sac.make_params(plain.agent, seed) for seed in (1, 2)
    )
    action, _ = plain_sac.draw(params, batch.next_state, plain.target_noise)
    first, second = (
        plain_sac.critic(other, i, batch.next_state, action)[0] for i in (1, 2)
    )
    # Each critic is the smaller one somewhere where it matters.
    going_on = np.asarray(batch.is_terminal) == 0
    self.assertTrue((first < second)[going_on].any())
    self.assertTrue((first > second)[going_on].any())
    targets = [
        Plain(make_agent(**options), batch, RNG).targets(*trees)
        for options, trees in (
            ({}, (params, other)), ({}, (params, params)),
            ({}, (other, other)), (_OPTIONS[1], (params, other)),
            (_OPTIONS[2], (params, other)),
        )
    ]  # fmt: skip
    for i, x in enumerate(targets):
      for y in targets[:i]:
        self.assertGreater(np.abs(x - y).max(), 0.1)

  def test_nothing_is_read_behind_a_terminal(self):
    agent, batch = make_agent(), make_batch()
    params, target_params = (
        plain_sac.make_params(agent, seed) for seed in (1, 2)
    )
    ended = np.asarray(batch.is_terminal) == 1
    losses = [
        np.asarray(
            compiled(agent)(params, target_params, x, RNG)[0].losses
        )
        for x in (batch, batch._replace(next_state=make_batch(7).next_state))
    ]
    np.testing.assert_array_equal(losses[0][ended], losses[1][ended])
    self.assertTrue(np.all(losses[0][~ended] != losses[1][~ended]))

  @parameterized.parameters((2.0, 1), (-9.0, -1))
  def test_temperature_falls_with_much_entropy_and_rises_with_little(
      self, log_std, sign
  ):
    agent, batch = make_agent(), make_batch()
    params = plain_sac.make_params(agent, 1)
    last = params['actor']['params']['Dense_2']
    last['kernel'] = 0 * last['kernel']
    last['bias'] = jnp.array([0, 0, log_std, log_std]) / 2
    output, gradient = compiled(agent)(params, params, batch, RNG)
    # One that is as wide as the actions, and a narrow one.
    excess = float(output.metrics['entropy']) + SIZE
    self.assertGreater(sign * excess, 1)
    self.assertAlmostEqual(
        float(gradient['log_temperature']), excess, delta=1e-9
    )

  def test_probes(self):
    agent, batch = make_agent(), make_batch()
    params, target_params = (
        plain_sac.make_params(agent, seed) for seed in (1, 2)
    )
    found = jax.jit(agent.probe)(params, target_params, batch, RNG)
    plain = Plain(agent, batch, RNG)
    plain.target_noise = jax.random.normal(RNG, (B, SIZE))
    for number, name in ((1, 'all'), (2, 'critic_2')):
      q_values, features = plain_sac.critic(
          params, number, batch.state, batch.action
      )
      np.testing.assert_allclose(found.probes[name].features, features)
      np.testing.assert_allclose(
          found.probes[name].q_values, q_values[:, None]
      )
    self.assertLen(found.probes, 2)
    q_values, _ = plain_sac.critic(params, 1, batch.state, batch.action)
    for name, trees in (
        ('td_error_target', (params, target_params)),
        ('td_error_online', (params, params)),
    ):
      np.testing.assert_allclose(
          found.errors[name], np.abs(q_values - plain.targets(*trees))
      )


class ActingTest(parameterized.TestCase):

  def test_explores_by_its_policy_or_uniformly(self):
    agent = make_agent()
    params = jax.tree.map(
        np.float32, plain_sac.make_params(agent, 1)
    )
    state = np.zeros((4000, K), np.float32)
    explore = jax.jit(agent.explore)
    uniform = np.asarray(explore(params, state, RNG, 1.0))
    self.assertEqual(uniform.shape, (4000, SIZE))
    for column in uniform.T:
      counts, _ = np.histogram(column, 8, (-1, 1))
      np.testing.assert_allclose(counts, 500, atol=100)
    # Of the actor, before the tanh: one Gaussian, as all states are one.
    drawn = np.arctanh(np.float64(explore(params, state, RNG, 0.0)))
    mean, std = plain_sac.policy(params, state[:1])
    np.testing.assert_allclose(drawn.mean(0), mean[0], atol=5 * std.max() / 63)
    np.testing.assert_allclose(drawn.std(0), std[0], rtol=0.06)
    mixed = np.asarray(explore(params, state, RNG, 0.25))
    # Whole actions are one or the other.
    random = np.all(mixed == uniform, axis=1)
    self.assertAlmostEqual(random.mean(), 0.25, delta=0.04)
    np.testing.assert_array_equal(
        mixed[~random], np.asarray(explore(params, state, RNG, 0.0))[~random]
    )
    np.testing.assert_allclose(
        agent.act(params, state[:1]), np.tanh(mean), rtol=1e-5
    )

  def test_begins_with_two_critics_and_a_temperature_of_one(self):
    agent = make_agent()
    params = agent.init(RNG, make_batch().state)
    self.assertSameElements(
        params, ['actor', 'critic_1', 'critic_2', 'log_temperature']
    )
    kernels = [
        params[name]['params']['Dense_0']['kernel'] for name in sac.CRITICS
    ]
    self.assertGreater(np.abs(kernels[0] - kernels[1]).min(), 0)
    self.assertEqual(params['log_temperature'], 0)


class PenaltyTest(parameterized.TestCase):

  @parameterized.parameters((2,), (1, 2))
  def test_reaches_the_named_critics_alone(self, *critics):
    agent = make_agent(penalized_critics=critics)
    params = jax.tree.map(np.float32, plain_sac.make_params(agent, 1))
    batch = jax.tree.map(np.asarray, make_batch())
    subject = learner.Learner(
        agent, optax.sgd(1.0), penalties.singular_value_penalty, 0.5
    )
    train = types.TrainState(
        params, params, subject.optimizer.init(params), jnp.int32(0)
    )
    step, after = jax.jit(subject.step), []
    for coefficient in (0.0, 0.5):
      hyper = subject.hyperparameters(1)._replace(
          penalty_coefficient=jnp.float32(coefficient)
      )
      new, metrics = step(train, batch, RNG, hyper)
      after.append(new.params)
    pulled = jax.tree.map(lambda x, y: np.float64(x) - y, *after)

    def penalty(params):
      total = 0
      for number in critics:
        _, features = plain_sac.critic(
            params, number, batch.state, batch.action
        )
        values = np.linalg.svd(features, compute_uv=False)
        total += values[0] ** 2 - values[-1] ** 2
      return total

    np.testing.assert_allclose(metrics['penalty'], penalty(params), rtol=1e-5)
    for part in params:
      parts = jax.tree.map(np.float64, pulled[part])
      if part not in [f'critic_{i}' for i in critics]:
        jax.tree.map(lambda x: np.testing.assert_array_equal(x, 0), parts)
        continue
      for layer, numbers in parts['params'].items():
        # The last layer is behind the features.
        for name, found in numbers.items():
          np.testing.assert_allclose(
              found, _slope(penalty, params, part, layer, name),
              atol=1e-4, rtol=1e-3,
          )  # fmt: skip


def _slope(penalty, params, part, layer, name):
  """0.5 of the gradient in one array, by central differences."""
  array = np.float64(params[part]['params'][layer][name])
  found = np.zeros_like(array)
  for index in np.ndindex(array.shape):
    values = []
    for step in (1e-5, -1e-5):
      moved = array.copy()
      moved[index] += step
      tree = params[part]['params']
      layers = tree | {layer: tree[layer] | {name: moved}}
      values.append(penalty(params | {part: {'params': layers}}))
    found[index] = 0.5 * (values[0] - values[1]) / 2e-5
  return found


class MovingTargetTest(parameterized.TestCase):
  """Period 1: the target follows every step."""

  RATE = 0.005

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    # A large eps keeps what rounds to another gradient of almost 0 from
    # becoming another step.
    optimizer = learner.adam(1e-2, eps=1e-2)
    cls.subject = learner.Learner(
        make_agent(), optimizer, target_update_period=1,
        target_update_rate=cls.RATE,
    )  # fmt: skip
    # It leaves the target alone.
    cls.step = jax.jit(learner.Learner(make_agent(), optimizer).step)
    cls.data = jax.tree.map(lambda *x: np.float32(x), *(
        make_batch(i)._replace(gradient_steps=None) for i in range(6)
    ))

  def sample(self, i, _):
    return jax.tree.map(lambda x: jnp.asarray(x)[i], self.data)

  def start(self, seed):
    """As `Learner.init`, of other parameters."""
    params = jax.tree.map(
        np.float32, plain_sac.make_params(self.subject.agent, seed)
    )
    state = self.subject.optimizer.init(params)
    return types.TrainState(params, params, state, np.int32(0))

  def plain(self, seed, num_steps):
    """Steps of a learner that leaves the target, then Polyak in float64."""
    train, rng = self.start(seed), jax.random.key(seed)
    target = jax.tree.map(np.float64, train.target_params)
    for i in range(num_steps):
      train, _ = type(self).step(
          train, self.sample(i, None), learner.loss_key(rng, i),
          self.subject.hyperparameters(1),
      )  # fmt: skip
      target = jax.tree.map(
          lambda x, y: (1 - self.RATE) * x + self.RATE * np.float64(y),
          target, train.params,
      )  # fmt: skip
      train = train._replace(target_params=jax.tree.map(np.float32, target))
    return train

  def check(self, train, seed, num_steps):
    want, start = self.plain(seed, num_steps), self.start(seed)
    for name in ('params', 'target_params'):
      jax.tree.map(
          lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6),
          getattr(train, name), getattr(want, name),
      )  # fmt: skip
    moved = np.abs(
        want.target_params['log_temperature']
        - start.target_params['log_temperature']
    )
    # One update too few or too many would be seen.
    self.assertGreater(moved / num_steps, 2e-5)
    self.assertEqual(train.gradient_steps, num_steps)

  def fit(self, train, rng, num_steps):
    hyper = self.subject.hyperparameters(1)._replace(gradient_steps=num_steps)
    return self.subject.fit(train, self.sample, rng, hyper)[0]

  def test_fit_of_vmapped_seeds(self):
    seeds = (3, 5)
    fit = jax.jit(jax.vmap(self.fit, in_axes=(0, 0, None)))
    trains = jax.tree.map(
        lambda *x: jnp.stack(x), *(self.start(x) for x in seeds)
    )
    keys = jnp.stack([jax.random.key(x) for x in seeds])
    trained = fit(trains, keys, np.int32(6))
    for i, seed in enumerate(seeds):
      self.check(jax.tree.map(lambda x, i=i: x[i], trained), seed, 6)

  def test_fit_of_a_single_step(self):
    fit = jax.jit(self.fit, static_argnums=2)
    self.check(fit(self.start(3), jax.random.key(3), 1), 3, 1)


class CountingAgent:
  """Its loss is a parameter's square; it shows the steps it is told of."""

  def init(self, rng, state):
    del rng, state
    return jnp.float32(4)

  def loss(self, params, target_params, batch, rng):
    del target_params, rng
    metrics = {'steps': batch.gradient_steps}
    return types.LossOutput(params**2 * jnp.ones(1), jnp.ones((1, 1)), metrics)


class LearnerTest(parameterized.TestCase):

  def test_tells_how_many_steps_were_taken(self):
    subject = learner.Learner(CountingAgent(), optax.sgd(0.1))
    train = subject.init(RNG, None)
    for i in range(3):
      train, metrics = subject.step(
          train, types.Batch(None), RNG, subject.hyperparameters(1)
      )
      self.assertEqual(metrics['steps'], i)

  def test_a_period_of_one_moves_the_target_and_python_0_leaves_it(self):
    subject = learner.Learner(
        CountingAgent(), optax.sgd(0.25), target_update_period=1,
        target_update_rate=0.5,
    )  # fmt: skip
    for period, want in ((jnp.int32(1), 3), (1, 3), (0, 4)):
      hyper = subject.hyperparameters(1)._replace(target_update_period=period)
      train, _ = subject.step(
          subject.init(RNG, None), types.Batch(None), RNG, hyper
      )
      self.assertEqual((train.params, train.target_params), (2, want))


class BadOptionsTest(parameterized.TestCase):

  @parameterized.parameters(
      ({'actor': None}, 'SACAgent.actor is None: .*GaussianActorNetwork'),
      ({'critic': plain_sac.ACTOR.init}, 'SACAgent.critic'),
      ({'gamma': 1.5}, 'SACAgent.gamma is 1.5: .*0 to 1'),
      ({'update_horizon': 0}, 'SACAgent.update_horizon is 0: .*from 1'),
      ({'cloning_steps': -1}, 'SACAgent.cloning_steps is -1: .*from 0'),
      ({'temperature': -0.1}, 'SACAgent.temperature is -0.1: .*0 or more'),
      ({'target_entropy': float('nan')}, 'SACAgent.target_entropy is nan'),
      ({'penalized_critics': ()}, r'penalized_critics is \(\): .*\(1, 2\)'),
      ({'penalized_critics': (3,)}, r'penalized_critics is \(3,\)'),
      ({'penalized_critics': (1, 1)}, r'penalized_critics is \(1, 1\)'),
  )
  def test_are_named(self, options, message):
    with self.assertRaisesRegex(errors.UserError, message):
      make_agent(**options)


if __name__ == '__main__':
  absltest.main()
