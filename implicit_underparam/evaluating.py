"""Evaluation of all seeds' policies, with a progress bar or as a program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from implicit_underparam import acting, episode_evaluation, progress, types

SCALARS = ('eval_return', 'eval_episodes', 'eval_episode_length')
_STREAM = 0x6576616C  # Tells these random numbers from others of the seed.


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


class _Played(NamedTuple):
  """Where an evaluation is.

  Attributes:
    step: [] int32, calls so far.
    state: of the K environments.
    stack: [K, ..., stack_size].
    returns: [K] float32, sums of returns of the episodes that count.
    steps: [K] int32, of these episodes.
    episodes: [K] int32.
  """

  step: types.Array
  state: Any
  stack: types.Array
  returns: types.Array
  steps: types.Array
  episodes: types.Array


def of_one_seed(
    evaluation: episode_evaluation.EpisodeEvaluation,
    agent: types.ValuedAgent,
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
  rng = jax.random.fold_in(jax.random.key(seed), _STREAM)
  begin_rng, rng = jax.random.split(jax.random.fold_in(rng, iteration))
  played = jax.lax.while_loop(
      lambda x: jnp.any(_owes(evaluation, x)),
      lambda x: _played(evaluation, agent, params, rng, x),
      _begun(evaluation, begin_rng),
  )
  number = jnp.sum(played.episodes).astype(jnp.float32)
  return {
      'eval_return': jnp.sum(played.returns) / number,
      'eval_episodes': number,
      'eval_episode_length': jnp.sum(played.steps) / number,
  }


def _owes(
    evaluation: episode_evaluation.EpisodeEvaluation, played: _Played
) -> types.Array:
  """[K] bool, which environments have not played their share."""
  share = evaluation.num_steps / evaluation.num_environments
  return played.steps < share


def _begun(
    evaluation: episode_evaluation.EpisodeEvaluation, rng: types.Array
) -> _Played:
  environment: Any = evaluation.environment
  count = evaluation.num_environments
  state, frame = jax.vmap(environment.reset)(jax.random.split(rng, count))
  shape = (count, *environment.observation_shape)
  empty = jnp.zeros(shape, environment.frame_dtype)
  stack = acting.push_frame(empty, frame, jnp.ones(count, bool))
  zeros = jnp.zeros(count, jnp.int32)
  return _Played(
      jnp.int32(0), state, stack, jnp.zeros(count), zeros, zeros
  )


def _played(
    evaluation: episode_evaluation.EpisodeEvaluation,
    agent: types.ValuedAgent,
    params: types.Params,
    rng: types.Array,
    before: _Played,
) -> _Played:
  """One step of every environment."""
  environment: Any = evaluation.environment
  act_rng, step_rng = jax.random.split(jax.random.fold_in(rng, before.step))
  actions = acting.epsilon_greedy(
      agent.apply, params, before.stack, act_rng, evaluation.epsilon,
      noise=False,
  )
  keys = jax.random.split(step_rng, evaluation.num_environments)
  made = jax.vmap(environment.step)(before.state, actions, keys)
  counts = made.episode_end & _owes(evaluation, before)
  return _Played(
      before.step + 1,
      made.state,
      acting.push_frame(before.stack, made.frame, made.episode_end),
      before.returns + jnp.where(counts, made.episode_return, 0.0),
      before.steps + jnp.where(counts, made.episode_length, 0),
      before.episodes + counts,
  )
