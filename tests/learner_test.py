"""Tests of implicit_underparam.learner."""

import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import errors, learner, networks, penalties, types
from implicit_underparam.agents import fqi

B, K, A, D = 32, 6, 3, 8
LEARNING_RATE = 0.01


def make_learner(**kwargs) -> learner.Learner:
  network = networks.MLPNetwork(num_actions=A, hidden_units=(10, D))
  return learner.Learner(
      fqi.FQIAgent(network), learner.adam(LEARNING_RATE), **kwargs
  )


def make_batch(seed: int = 0) -> types.Batch:
  rng = np.random.default_rng(seed)
  return types.Batch(
      state=jnp.asarray(rng.normal(size=(B, K)), jnp.float32),
      action=jnp.asarray(rng.integers(0, A, B)),
      target=jnp.asarray(rng.normal(size=B), jnp.float32),
  )


def layers(params: types.Params) -> list[tuple[np.ndarray, np.ndarray]]:
  """(kernel, bias) of each layer in float64."""
  tree = params['params']
  return [
      (np.float64(tree[f'Dense_{i}']['kernel']),
       np.float64(tree[f'Dense_{i}']['bias']))
      for i in range(3)
  ]


def float64_gradient(weights, batch, alpha):
  """Backpropagation by hand, the penalty through a float64 SVD."""
  (w1, b1), (w2, b2), (w3, b3) = weights
  x, a, y = (np.float64(batch.state), np.asarray(batch.action),
             np.float64(batch.target))
  h1 = np.maximum(x @ w1 + b1, 0)
  h2 = np.maximum(h1 @ w2 + b2, 0)
  q = h2 @ w3 + b3
  dq = np.zeros_like(q)
  dq[np.arange(B), a] = 2 * (q[np.arange(B), a] - y) / B
  u, s, vt = np.linalg.svd(h2, full_matrices=False)
  dh2 = dq @ w3.T + alpha * 2 * (
      s[0] * np.outer(u[:, 0], vt[0]) - s[-1] * np.outer(u[:, -1], vt[-1])
  )
  dh2 = dh2 * (h2 > 0)
  dh1 = (dh2 @ w2.T) * (h1 > 0)
  return [(x.T @ dh1, dh1.sum(0)), (h1.T @ dh2, dh2.sum(0)),
          (h2.T @ dq, dq.sum(0))]


class Float64Adam:
  """Kingma & Ba (2015), Algorithm 1."""

  def __init__(self, weights):
    self.m = [[np.zeros_like(x) for x in layer] for layer in weights]
    self.v = [[np.zeros_like(x) for x in layer] for layer in weights]
    self.t = 0

  def update(self, weights, gradients):
    self.t += 1
    new = []
    for i, layer in enumerate(weights):
      out = []
      for j, (w, g) in enumerate(zip(layer, gradients[i], strict=True)):
        self.m[i][j] = 0.9 * self.m[i][j] + 0.1 * g
        self.v[i][j] = 0.999 * self.v[i][j] + 0.001 * g**2
        m_hat = self.m[i][j] / (1 - 0.9**self.t)
        v_hat = self.v[i][j] / (1 - 0.999**self.t)
        out.append(w - LEARNING_RATE * m_hat / (np.sqrt(v_hat) + 1e-8))
      new.append(tuple(out))
    return new


def assert_same_bits(a: types.Params, b: types.Params) -> None:
  def check(x, y):
    if np.asarray(x).tobytes() != np.asarray(y).tobytes():
      raise AssertionError(f'{x} is not {y} to the bit')

  jax.tree.map(check, a, b)


def take_steps(subject, num_steps, jit=True, hyperparameters=None):
  train = subject.init(jax.random.key(0), make_batch().state)
  hyper = hyperparameters or subject.hyperparameters(1)
  step = jax.jit(subject.step) if jit else subject.step
  metrics = {}
  for i in range(num_steps):
    train, metrics = step(train, make_batch(i), jax.random.key(i), hyper)
  return train, metrics


class StepTest(parameterized.TestCase):

  @parameterized.parameters(0.0, 0.01)
  def test_ten_steps_follow_a_float64_computation(self, alpha):
    subject = make_learner(
        penalty=penalties.singular_value_penalty, penalty_coefficient=alpha
    )
    train, _ = take_steps(subject, 0)
    weights = layers(train.params)
    adam = Float64Adam(weights)
    for i in range(10):
      gradient = float64_gradient(weights, make_batch(i), alpha)
      weights = adam.update(weights, gradient)
    train, _ = take_steps(subject, 10)
    for mine, expected in zip(layers(train.params), weights, strict=True):
      for x, y in zip(mine, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=2e-5)

  def test_zero_penalty_is_no_penalty_to_the_bit(self):
    without, _ = take_steps(make_learner(), 20)
    zero, metrics = take_steps(
        make_learner(penalty=penalties.singular_value_penalty), 20
    )
    assert_same_bits(without.params, zero.params)
    self.assertGreater(float(metrics['penalty']), 0)
    some, _ = take_steps(
        make_learner(
            penalty=penalties.singular_value_penalty, penalty_coefficient=0.01
        ),
        20,
    )
    with self.assertRaises(AssertionError):
      assert_same_bits(without.params, some.params)

  def test_jit_changes_nothing_but_rounding(self):
    jitted, _ = take_steps(make_learner(), 3)
    eager, _ = take_steps(make_learner(), 3, jit=False)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5),
        jitted.params, eager.params,
    )

  def test_weights_scale_the_losses(self):
    subject = make_learner()
    train, _ = take_steps(subject, 0)
    hyper = subject.hyperparameters(1)
    weight = np.random.default_rng(0).uniform(0, 2, B)
    batch = make_batch()
    losses = subject.agent.loss(
        train.params, train.target_params, batch, jax.random.key(0)
    ).losses
    _, metrics = subject.step(
        train, batch._replace(weight=jnp.asarray(weight, jnp.float32)),
        jax.random.key(0), hyper,
    )
    expected = np.mean(weight * np.float64(losses))
    self.assertAlmostEqual(float(metrics['loss']), expected, places=5)


class TargetTest(parameterized.TestCase):

  @parameterized.parameters(1, 3, 4)
  def test_hard_target_every_k_updates(self, period):
    subject = make_learner(target_update_period=period)
    train, _ = take_steps(subject, 0)
    targets = [train.params]
    for num_steps in range(1, 8):
      train, _ = take_steps(subject, num_steps)
      if num_steps % period == 0:
        targets.append(train.params)
      assert_same_bits(train.target_params, targets[-1])

  def test_polyak_averages(self):
    tau = 0.25
    subject = make_learner(target_update_period=1, target_update_rate=tau)
    expected = np.float64(layers(take_steps(subject, 0)[0].params)[0][0])
    for num_steps in range(1, 6):
      train, _ = take_steps(subject, num_steps)
      expected = tau * layers(train.params)[0][0] + (1 - tau) * expected
    np.testing.assert_allclose(
        layers(train.target_params)[0][0], expected, atol=1e-6
    )

  def test_without_a_period_the_target_follows_each_fit(self):
    subject = make_learner(target_update_period=None)
    before, _ = take_steps(subject, 5)
    start, _ = take_steps(subject, 0)
    assert_same_bits(before.target_params, start.params)
    after, _ = subject.fit(
        before, lambda _, key: make_batch(), jax.random.key(0),
        subject.hyperparameters(4),
    )
    assert_same_bits(after.target_params, after.params)
    self.assertEqual(int(after.gradient_steps), 9)


class FitTest(parameterized.TestCase):

  def test_fit_is_a_loop_over_step(self):
    subject = make_learner()
    hyper = subject.hyperparameters(6)
    rng = jax.random.key(3)

    def sample(i, key):
      del i
      return make_batch()._replace(
          target=jax.random.normal(key, (B,))
      )

    expected, _ = take_steps(subject, 0)
    totals = []
    for i in range(6):
      batch = sample(i, jax.random.fold_in(rng, 2 * i))
      expected, metrics = subject.step(expected, batch, rng, hyper)
      totals.append(float(metrics['loss']))
    start, _ = take_steps(subject, 0)
    fitted, means = jax.jit(lambda t: subject.fit(t, sample, rng, hyper))(start)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5),
        fitted.params, expected.params,
    )
    self.assertAlmostEqual(float(means['loss']), np.mean(totals), places=5)

  @parameterized.parameters(1, 4, 7)
  def test_two_calls_are_one(self, first):
    subject = make_learner(target_update_period=3)
    rng = jax.random.key(3)

    def fit(train, start, num_steps):
      sample = lambda i, key: make_batch()._replace(
          target=jax.random.normal(key, (B,))
      )
      hyper = subject.hyperparameters(num_steps)
      return subject.fit(train, sample, rng, hyper, start)[0]

    fit = jax.jit(fit)
    start, _ = take_steps(subject, 0)
    whole = fit(start, 0, 8)
    halves = fit(fit(start, 0, first), first, 8 - first)
    assert_same_bits(halves, whole)
    with self.assertRaises(AssertionError):
      assert_same_bits(fit(fit(start, 0, first), 0, 8 - first), whole)

  def test_target_updates_are_due_by_the_calls_own_count(self):
    subject = make_learner(target_update_period=4)
    # A run that stands at 5 steps, and a call that begins at step 2.
    train, _ = take_steps(subject, 5)
    expected = [train.target_params]
    batch, hyper = make_batch(), subject.hyperparameters(1)
    for count in range(3, 7):
      train, _ = subject.step(
          train, batch, jax.random.key(0), hyper, jnp.int32(count)
      )
      if count == 4:
        expected.append(train.params)
      assert_same_bits(train.target_params, expected[-1])
    self.assertLen(expected, 2)
    self.assertEqual(int(train.gradient_steps), 9)

    start, _ = take_steps(subject, 5)
    sample = lambda i, key: batch
    fitted, _ = subject.fit(
        start, sample, jax.random.key(0), subject.hyperparameters(4), first=2
    )
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5),
        fitted.target_params, expected[-1],
    )

  def test_the_keys_of_batches_can_be_had_beforehand(self):
    subject = make_learner()
    rng, seen = jax.random.key(5), []

    def sample(i, key):
      jax.debug.callback(
          lambda i, key: seen.append((int(i), key.tolist())),
          i, jax.random.key_data(key), ordered=True,
      )
      return make_batch()

    start, _ = take_steps(subject, 0)
    subject.fit(start, sample, rng, subject.hyperparameters(3), first=2)
    jax.effects_barrier()
    expected = [
        (i, jax.random.key_data(learner.sample_key(rng, 2 + i)).tolist())
        for i in range(3)
    ]
    self.assertEqual(seen, expected)
    self.assertLen({str(key) for _, key in seen}, 3)

  def test_a_swept_value_compiles_nothing(self):
    subject = make_learner(
        penalty=penalties.singular_value_penalty, target_update_period=2
    )
    traces = []

    @jax.jit
    def fit(train, hyper):
      traces.append(1)
      return subject.fit(
          train, lambda _, key: make_batch(), jax.random.key(0), hyper
      )[0]

    def run(num_steps=2, alpha=0.0, period=2, learning_rate=0.1):
      train, _ = take_steps(subject, 0)
      state = train.opt_state
      rate = jnp.float32(learning_rate)
      hyper = state.hyperparams | {'learning_rate': rate}
      train = train._replace(opt_state=state._replace(hyperparams=hyper))
      return fit(train, types.Hyperparameters(
          jnp.int32(num_steps), jnp.float32(alpha), jnp.int32(period),
          jnp.float32(1.0),
      ))

    base = run()
    others = (run(num_steps=5), run(alpha=0.1), run(learning_rate=0.2))
    self.assertLen(traces, 1)
    for other in others:
      with self.assertRaises(AssertionError):
        assert_same_bits(base.params, other.params)

  def test_seeds_side_by_side_are_seeds_alone(self):
    subject = make_learner(
        penalty=penalties.singular_value_penalty, penalty_coefficient=0.01
    )
    hyper = subject.hyperparameters(5)

    def run(key):
      train = subject.init(key, make_batch().state)
      sample = lambda _, key: make_batch()._replace(
          target=jax.random.normal(key, (B,))
      )
      return subject.fit(train, sample, key, hyper)[0].params

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(run))(keys)
    for i in range(3):
      jax.tree.map(
          lambda x, y, i=i: np.testing.assert_allclose(x[i], y, atol=1e-5),
          together, jax.jit(run)(keys[i]),
      )


class ReinitializeTest(absltest.TestCase):

  def test_parameters_and_optimiser_are_fresh_the_target_is_not(self):
    subject = make_learner(target_update_period=2)
    train, _ = take_steps(subject, 5)
    fresh = subject.init(jax.random.key(9), make_batch().state)
    new = subject.reinitialize(train, jax.random.key(9), make_batch().state)
    assert_same_bits(new.params, fresh.params)
    assert_same_bits(new.opt_state, fresh.opt_state)
    assert_same_bits(new.target_params, train.target_params)
    self.assertEqual(int(new.gradient_steps), 5)


class AllFiniteTest(parameterized.TestCase):

  @parameterized.parameters(
      (0.0, True), (float('nan'), False), (float('inf'), False),
      (float('-inf'), False),
  )
  def test_one_number_is_enough(self, number, expected):
    tree = {'a': jnp.ones((2, 3)), 'b': [jnp.array([1.0, number]), 2]}
    finite = jax.jit(learner.all_finite)(tree)
    self.assertEqual(finite.shape, ())
    self.assertEqual(bool(finite), expected)


class BadInputTest(parameterized.TestCase):

  @parameterized.parameters(
      ({'target_update_period': 0}, 'target_update_period is 0'),
      ({'target_update_rate': 0.0}, 'target_update_rate is 0'),
      ({'target_update_rate': 1.5}, 'target_update_rate is 1.5'),
      ({'penalty_coefficient': 0.1}, 'bind Learner.penalty'),
  )
  def test_one_clear_line(self, kwargs, message):
    with self.assertRaisesRegex(errors.UserError, message):
      make_learner(**kwargs)


if __name__ == '__main__':
  absltest.main()
