"""Every configuration of the theory runs, and measures what is judged."""

import pathlib

import gin
from absl.testing import absltest

from implicit_underparam import configuration, runner
from implicit_underparam.figures import theory_claims

_FOLDER = pathlib.Path(__file__).parents[2] / 'gin_configs' / 'theory'
_FILES = sorted(x.name for x in _FOLDER.glob('*.gin'))
_COLUMNS = {x.column for x in theory_claims.STATEMENTS}


def _first_row(file: str) -> dict[str, float]:
  gin.clear_config()
  configuration.parse([f'gin_configs/theory/{file}'], [])
  # Few steps, where there are any: a fit is not what is looked at.
  for name in ('GradientFlow.steps', 'DeepLinearIteration.probes'):
    if name in gin.config_str():
      with gin.unlock_config():
        gin.bind_parameter(name, 20)
  loop = runner.Runner('/nowhere').loop
  return loop.compile((0,), 'map').output_shapes().scalars


class ConfigurationsTest(absltest.TestCase):

  def test_each_measures_statements_and_each_statement_is_measured(self):
    found = {file: set(_first_row(file)) for file in _FILES}
    for file, columns in found.items():
      self.assertNotEmpty(_COLUMNS & columns, file)
    self.assertEmpty(_COLUMNS - set().union(*found.values()))


if __name__ == '__main__':
  absltest.main()
