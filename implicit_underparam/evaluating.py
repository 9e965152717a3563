"""Evaluation of all seeds' policies, with a progress bar or as a program."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import acting, episode_evaluation, progress, types
from implicit_underparam.envs import pure

SCALARS = ('eval_return', 'eval_episodes', 'eval_episode_length')


def on_host(
    evaluation: episode_evaluation.EpisodeEvaluation,
    select_actions: Callable[[np.ndarray], np.ndarray],
    seeds: Sequence[int],
    iteration: int,
) -> dict[str, np.ndarray]:
  """Plays on the host, and shows how far it is.

  Args:
    evaluation: the protocol.
    select_actions: greedy actions [S, K] in states [S, K, ...].
    seeds: S.
    iteration: 0 or more.

  Returns:
    `SCALARS`, [S] float32 each.
  """
  wanted = evaluation.num_steps * len(seeds)
  with progress.bar(wanted, 'evaluation steps') as bar:

    def select(observations: np.ndarray, step: int) -> np.ndarray:
      del step
      bar.update(observations.shape[0] * observations.shape[1])
      return select_actions(observations)

    result = evaluation.run(select, seeds, iteration)
  return {name: np.asarray(result[name], np.float32) for name in SCALARS}


def of_one_seed(
    evaluation: episode_evaluation.EpisodeEvaluation,
    agent: types.Agent,
    params: types.Params,
    seed: types.Array,
    iteration: types.Array,
) -> dict[str, types.Array]:
  """`EpisodeEvaluation.run` of one seed, as part of a program.

  By the same rule: each of K environments plays whole episodes until it has
  played its share of the steps. The random numbers are others.

  Args:
    evaluation: the protocol, with an environment that is a pure function.
    agent: gives Q.
    params: of the network.
    seed: [] integer.
    iteration: [] integer.

  Returns:
    `SCALARS`, [] float32 each.
  """
  environment: Any = evaluation.environment
  assert pure.is_pure(environment)
  count = evaluation.num_environments
  rng = jax.random.fold_in(jax.random.key(seed), _STREAM)
  rng = jax.random.fold_in(rng, iteration)
  begin_rng, play_rng = jax.random.split(rng)
  state, frame = jax.vmap(environment.reset)(jax.random.split(begin_rng, count))
  empty = jnp.zeros(
      (count, *environment.observation_shape), environment.frame_dtype
  )
  zeros = jnp.zeros(count, jnp.int32)

  def goes_on(carry: tuple) -> types.Array:
    return jnp.any(carry[4] < evaluation.num_steps / count)

  def play(carry: tuple) -> tuple:
    i, state, stack, total, steps, episodes = carry
    act_rng, step_rng = jax.random.split(jax.random.fold_in(play_rng, i))
    actions = acting.epsilon_greedy(
        agent, params, stack, act_rng, evaluation.epsilon, noise=False
    )
    made = jax.vmap(environment.step)(
        state, actions, jax.random.split(step_rng, count)
    )
    counts = made.episode_end & (steps < evaluation.num_steps / count)
    return (
        i + 1,
        made.state,
        acting.push_frame(stack, made.frame, made.episode_end),
        total + jnp.where(counts, made.episode_return, 0.0),
        steps + jnp.where(counts, made.episode_length, 0),
        episodes + counts,
    )

  stack = acting.push_frame(empty, frame, jnp.ones(count, bool))
  carry = (jnp.int32(0), state, stack, jnp.zeros(count), zeros, zeros)
  *_, total, steps, episodes = jax.lax.while_loop(goes_on, play, carry)
  number = jnp.sum(episodes).astype(jnp.float32)
  return {
      'eval_return': jnp.sum(total) / number,
      'eval_episodes': number,
      'eval_episode_length': jnp.sum(steps) / number,
  }


_STREAM = 0x6576616C  # Tells these random numbers from others of the seed.
