"""SAC's parts in NumPy's float64, written by themselves, to compare with."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import continuous_networks, types
from implicit_underparam.agents import sac

B, K, SIZE, GAMMA = 9, 5, 2, 0.9
ACTOR = continuous_networks.GaussianActorNetwork(SIZE, hidden_units=(8, 7))
CRITIC = continuous_networks.CriticNetwork(hidden_units=(8, 7))
RNG = jax.random.key(7)


def make_agent(**options):
  return sac.SACAgent(**{'actor': ACTOR, 'critic': CRITIC, 'gamma': GAMMA}
                      | options)


def make_params(agent, seed):
  """Drawn by numpy: float64 where JAX is, of order one."""
  tree = jax.eval_shape(agent.init, RNG, np.zeros((1, K), np.float32))
  rng = np.random.default_rng(seed)
  return jax.tree.map(
      lambda x: jnp.asarray(0.6 * rng.normal(size=x.shape)), tree
  )


def make_batch(seed=0, gradient_steps=0):
  rng = np.random.default_rng(seed)
  return types.Batch(
      state=jnp.asarray(rng.normal(size=(B, K))),
      action=jnp.asarray(rng.uniform(-0.95, 0.95, (B, SIZE))),
      reward=jnp.asarray(3 * rng.normal(size=B)),
      next_state=jnp.asarray(rng.normal(size=(B, K))),
      is_terminal=jnp.asarray(np.arange(B) % 3 == 0, jnp.float32),
      gradient_steps=jnp.int32(gradient_steps),
  )


def mlp(params, x):
  """What comes out of ReLU layers and a linear one, and what goes into it."""
  layers = params['params']
  features = np.float64(x)
  for i in range(len(layers) - 1):
    features = np.maximum(_linear(layers[f'Dense_{i}'], features), 0)
  return _linear(layers[f'Dense_{len(layers) - 1}'], features), features


def _linear(layer, x):
  return x @ np.float64(layer['kernel']) + np.float64(layer['bias'])


def policy(params, state):
  """Means [B, k] and standard deviations [B, k], before the tanh."""
  output, _ = mlp(params['actor'], state)
  size = output.shape[1] // 2
  mean, log_std = output[:, :size], output[:, size:]
  return mean, np.exp(np.minimum(np.maximum(log_std, -20), 2))


def critic(params, number, state, action):
  """Q-values [B] and features [B, d]; `number` is 1 or 2."""
  both = np.concatenate([np.float64(state), np.float64(action)], axis=1)
  q_values, features = mlp(params[f'critic_{number}'], both)
  return q_values[:, 0], features


def smaller(params, state, action):
  """min_j Q_j, [B]."""
  return np.minimum(
      critic(params, 1, state, action)[0], critic(params, 2, state, action)[0]
  )


def log_density(mean, std, before):
  """Of a = tanh(before): log N(before) + 2 log cosh(before), summed."""
  normal = -(((before - mean) / std) ** 2) / 2
  normal = normal - np.log(std) - math.log(2 * math.pi) / 2
  return np.sum(normal + 2 * np.log(np.cosh(before)), axis=-1)


def draw(params, state, noise):
  """Actions [B, k] and log pi(a | s) [B], of a standard normal's numbers."""
  mean, std = policy(params, state)
  before = mean + std * np.float64(noise)
  return np.tanh(before), log_density(mean, std, before)


def check_gradient(gradient, objective, params, part):
  """A part's gradient against central differences of a function in NumPy."""
  rng = np.random.default_rng(3)
  for _ in range(3):
    step = jax.tree.map(
        lambda x: 1e-6 * rng.normal(size=np.shape(x)), params[part]
    )
    forth, back = (
        objective(params | {part: jax.tree.map(
            lambda x, dx, by=sign: np.float64(x) + by * dx, params[part], step
        )})
        for sign in (1, -1)
    )  # fmt: skip
    want = (forth - back) / 2
    got = sum(jax.tree.leaves(
        jax.tree.map(lambda g, dx: np.sum(g * dx), gradient[part], step)
    ))
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=1e-13, err_msg=part)
