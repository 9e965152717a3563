"""Tests of implicit_underparam.lanes."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from absl.testing import absltest, parameterized

from implicit_underparam import lanes


class Device(NamedTuple):
  """What `split` looks at."""

  number: int
  platform: str


def devices(count, platform):
  return [Device(i, platform) for i in range(count)]


class SplitTest(parameterized.TestCase):

  @parameterized.product(
      num_seeds=(1, 2, 3, 5, 8, 9), num_devices=(1, 2, 3, 8),
      axis=('vmap', 'map'),
  )  # fmt: skip
  def test_every_seed_is_somewhere_and_the_devices_are_even(
      self, num_seeds, num_devices, axis
  ):
    seeds = tuple(range(10, 10 + num_seeds))
    given = devices(num_devices, 'gpu')
    found = lanes.split(seeds, axis, given)
    self.assertEqual(sum((x.seeds for x in found), ()), seeds)
    places = [place for x in found for place in x.places]
    self.assertEqual(places, list(range(num_seeds)))
    if axis == 'map':
      self.assertEqual({len(x.seeds) for x in found}, {1})
    else:
      self.assertEqual(
          [x.device for x in found], given[: min(num_devices, num_seeds)]
      )
    load = [
        sum(len(x.seeds) for x in found if x.device == device)
        for device in given
    ]
    self.assertLessEqual(max(load) - min(load), 1)

  @parameterized.parameters(('cpu', [1, 1, 1]), ('gpu', [3]), ('tpu', [3]))
  def test_auto_puts_seeds_together_but_on_a_cpu(self, platform, sizes):
    found = lanes.split((4, 0, 2), 'auto', devices(1, platform))
    self.assertEqual([len(x.seeds) for x in found], sizes)

  def test_this_processs_devices_are_the_default(self):
    self.assertEqual(lanes.split((0,), 'auto')[0].device.platform, 'cpu')


class LaneTest(absltest.TestCase):

  def test_parts_with_seeds_are_the_whole(self):
    whole = np.arange(10).reshape(5, 2)
    for split in (
        lanes.split(range(5), 'vmap', devices(2, 'gpu')),
        lanes.split(range(5), 'map', devices(2, 'gpu')),
    ):
      parts = [x.with_seeds({'a': x.part(whole)})['a'] for x in split]
      np.testing.assert_array_equal(np.concatenate(parts), whole)
    self.assertEqual(split[0].part(whole).shape, (2,))


class OverSeedsTest(parameterized.TestCase):

  @parameterized.parameters(1, 3)
  def test_is_the_function_of_each_seed(self, num_seeds):
    def function(x, tree, shared):
      return x * shared, {'sum': tree['y'].sum() + x.sum()}

    x = jnp.arange(4.0 * num_seeds).reshape(num_seeds, 4)
    y = jnp.arange(2.0 * num_seeds).reshape(num_seeds, 2) ** 2
    over = lanes.over_seeds(function, (0, 0, None), num_seeds)
    lane = lanes.Lane(tuple(range(num_seeds)), tuple(range(num_seeds)), None)
    given = (lane.part(x), {'y': lane.part(y)}, jnp.arange(4.0))
    product, sums = lane.with_seeds(over(*given))
    for i in range(num_seeds):
      np.testing.assert_array_equal(product[i], x[i] * np.arange(4.0))
      self.assertEqual(sums['sum'][i], y[i].sum() + x[i].sum())


if __name__ == '__main__':
  absltest.main()
