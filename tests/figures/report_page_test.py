import base64
import html.parser
import io
import json
import pathlib
import re
import tempfile
import time

import synthetic_runs
from absl.testing import absltest, parameterized
from PIL import Image

from implicit_underparam.errors import UserError
from implicit_underparam.figures import __main__ as command
from implicit_underparam.figures.report import (
  bindings,
  failures,
  listing,
  markup,
  material,
  page,
  times,
)

_VOID = ('img', 'meta', 'input')
_EVIL = 'a <script>alert(1)</script> & "b"'
_CONFIG = """\
import implicit_underparam.agents.fqi

# Parameters for Runner:
# =====
Runner.num_iterations = {}
Runner.metrics = \\
    {{'srank': @srank,
     'loss': @loss}}
adam.learning_rate = {}
"""


class _Page(html.parser.HTMLParser):
  """What a page consists of; raises for an element that is not closed."""

  def __init__(self, text):
    super().__init__()
    self.open, self.elements, self.text = [], [], {}
    self.feed(text)
    self.close()
    assert not self.open, self.open

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag not in _VOID:
      self.open.append((tag, dict(attrs).get('id')))

  def handle_endtag(self, tag):
    assert self.open[-1][0] == tag, (tag, self.open)
    self.open.pop()

  def handle_data(self, data):
    # Of every element that has an id, and of every kind of element.
    for tag, id_ in self.open:
      self.text[f'#{id_}'] = self.text.get(f'#{id_}', '') + data
      self.text[tag] = self.text.get(tag, '') + data

  def every(self, tag):
    return [attrs for name, attrs in self.elements if name == tag]


def _task(state, **changes):
  return {
      'state': state, 'reason': '', 'attempts': 1, 'started': 100.0,
      'ended': 160.0, 'log': '', 'command': ['python', '-m', 'x'],
      'minutes': 1.0, 'seeds': [0, 1, 2], 'after': [], 'cpus': 1.0,
      'gpus': 0.0, 'tpus': 0, **changes,
  }


def _sweep(folder, runs, **changes):
  record = {
      'format': 1, 'sweep': 'grid_off', 'scale': 'laptop', 'engine': 'local',
      'experiments': ['GRID-OFF'], 'figures': ['2a'],
      'command': 'python -m launch.sweep --sweep=grid_off', 'host': 'node',
      'state': 'finished', 'pid': 1, 'started': 0.0, 'updated': 7200.0,
      'ended': 7200.0, 'runs': runs, **changes,
  }
  (folder / 'sweep.json').write_text(json.dumps(record))


class SweepTest(absltest.TestCase):
  """One sweep with everything in it, read once."""

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    temporary = tempfile.TemporaryDirectory()
    cls.addClassCleanup(temporary.cleanup)
    folder = pathlib.Path(temporary.name)
    run = synthetic_runs.gridworld(
        folder / 'offline_fqi', [20, 45, 40, 30], status='finished')
    (run / 'config.gin').write_text(_CONFIG.format(4, '0.001'))
    for name in ('seeds_0_1', 'seeds_2'):
      first = 2 if name == 'seeds_2' else 0
      seeds = range(first, 3 if first else 2)
      columns = {
          x: {s: [10.0 + s, 20.0] for s in seeds}
          for x in ('loss', 'srank', 'srank_free', 'normalized_return')
      }
      part = synthetic_runs.write(folder / 'supervised' / name, columns)
      (part / 'config.gin').write_text(_CONFIG.format(4, '0.01'))
    (folder / 'logs').mkdir()
    lines = [f'\x1b[31mline {i}\x1b[0m' for i in range(30)]
    (folder / 'logs' / 'broken.txt').write_text(
        '\n'.join([*lines, '10%\r20%\rNaN & <b>']) + '\n')
    evil = synthetic_runs.gridworld(folder / 'evil', [1, 2], status='failed')
    (evil / 'run.json').write_text(json.dumps({
        'status': 'failed', 'reason': _EVIL, 'device': '<i>',
        'stopped_seeds': {'3': 'loss <NaN>'}, 'versions': {'jax': '0.10'}}))
    damaged = synthetic_runs.gridworld(folder / 'damaged', [1, 2])
    with open(damaged / 'metrics.csv', 'a') as file:
      file.write('0,nonsense\n')
    _sweep(folder, {
        'offline_fqi': _task('done', ended=5500.0),
        'supervised/seeds_0_1': _task('done', seeds=[0, 1]),
        'supervised/seeds_2': _task('running', seeds=[2], ended=None),
        'broken': _task(
            'failed', reason=_EVIL, attempts=3, log='logs/broken.txt',
            command=['python', '-m', 'x', '--a=b c']),
        'offline_fqi_t10': _task('waiting', started=None, attempts=0),
        'later': _task('blocked', reason='not started: broken', attempts=0),
        'prepared/0': _task('done', command=[
            'python', '-m', 'implicit_underparam.data.prepare', '--x']),
    }, state='running', updated=time.time())
    figures = [command.choose_figures(x)[0] for x in ('2a', 'a11a')]
    cls.gathered = material.gather(str(folder), figures, command._has_run)
    cls.document = page.document(cls.gathered)
    cls.page = _Page(cls.document)

  def test_names_every_section_in_order(self):
    links = [x['href'] for x in self.page.every('a')]
    sections = [f'#{x["id"]}' for x in self.page.every('section')]
    self.assertEqual(sections, [
        '#failures', '#verdicts', '#figures', '#runs', '#configurations',
        '#versions'])
    self.assertContainsSubset(sections, links)

  def test_every_link_leads_somewhere_in_the_page(self):
    ids = [x['id'] for _, x in self.page.elements if 'id' in x]
    self.assertCountEqual(ids, set(ids))
    for link in self.page.every('a'):
      self.assertStartsWith(link['href'], '#')
      self.assertIn(link['href'][1:], ids)

  def test_fetches_nothing(self):
    for _, attributes in self.page.elements:
      for name in ('src', 'href', 'srcset', 'action', 'data'):
        self.assertRegex(attributes.get(name) or '#', '^(#|data:image/png)')
      self.assertNoneStartsWith(attributes, 'on')
    self.assertIsNone(
        re.search(r'url\(|@import|https?://|//[a-z]+\.', self.document))
    policy = self.page.every('meta')[1]['content']
    self.assertStartsWith(policy, "default-src 'none'; img-src data:;")

  def assertNoneStartsWith(self, names, prefix):
    self.assertEmpty([x for x in names if x.startswith(prefix)])

  def test_its_own_script_and_style_are_all_that_it_lets_run(self):
    self.assertLen(self.page.every('script'), 1)
    policy = self.page.every('meta')[1]['content']
    self.assertLen(re.findall("'sha256-[^']+'", policy), 2)

  def test_texts_of_files_are_escaped(self):
    self.assertNotRegex(self.document, '<script>alert|<NaN>|<i>')
    self.assertEqual(self.page.text['#failures'].count(_EVIL), 2)

  def test_failures_have_reason_log_and_command(self):
    text = self.page.text['#failures']
    self.assertIn('(3 attempts)', text)
    self.assertIn('Last 20 lines of logs/broken.txt', text)
    self.assertIn('line 29\nNaN & <b>', text)
    self.assertNotIn('line 10\n', text)
    self.assertNotIn('\x1b', self.document)
    self.assertIn("python -m x '--a=b c'", text)
    self.assertIn('seed 3: loss <NaN>', text)
    self.assertIn('line 8 of', text)
    self.assertIn('not started: broken', text)

  def test_counts(self):
    self.assertIn(
        '7 runs: 1 done, 2 failed, 1 running, 1 waiting, 1 unreadable, '
        '1 blocked, 1 missing', self.page.text['header'])

  def test_says_that_it_is_still_running(self):
    self.assertIn('Still running', self.page.text['header'])
    self.assertNotIn('Interrupted', self.page.text['header'])

  def test_figures_are_images_told_in_words(self):
    images = self.page.every('img')
    self.assertLen(images, 2)
    self.assertIn('T = 200 from 21 to 31', images[0]['alt'])
    self.assertIn('supervised from 11 to 20', images[0]['alt'])
    data = base64.b64decode(images[0]['src'].split(',')[1])
    with Image.open(io.BytesIO(data)) as image:
      self.assertAlmostEqual(image.width, 2 * int(images[0]['width']), delta=2)

  def test_missing_runs_are_named(self):
    self.assertIn('Not there yet: offline_fqi_t10 (waiting)',
                  self.page.text['#figure-2a'])
    text = self.page.text['#figure-a11a']
    self.assertIn('Missing run: oracle', text)
    self.assertIn('--gin_files=gin_configs/gridworld/oracle.gin', text)
    self.assertIn('--figure=a11a --runs=', text)

  def test_parts_are_one_run(self):
    run = next(x for x in self.gathered.runs if x.name == 'supervised')
    self.assertEqual((run.seeds, run.state, run.done, run.planned),
                     ([0, 1, 2], 'running', 2, 4))
    self.assertIn('1 of 2 parts done', self.page.text['#runs-table'])

  def test_numbers_of_a_run(self):
    row = next(
        x for x in self.document.split('<tr>') if '>offline_fqi</th>' in x)
    # 30, 31, 32 at the end of three seeds, 5,400 s, every iteration.
    for told in ('31.0 ± 1.0', '90 min', '4 of 4', '3 (0–2)'):
      self.assertIn(f'>{told}</td>', row)
    self.assertIn('srank from 21 to 31, highest 46', row)

  def test_configurations_and_versions(self):
    text = self.page.text['#configurations']
    self.assertIn('adam.learning_rate0.0010.01', text)
    self.assertIn("{'srank': @srank,", text)
    self.assertIn('device<i>', self.page.text['#versions'])
    self.assertIn('jax0.10', self.page.text['#versions'])

  def test_verdicts(self):
    text = self.page.text['#verdicts']
    self.assertIn('GRID-OFF', text)
    self.assertNotIn('MINATAR', text)


class OtherFoldersTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.create_tempdir().full_path) / 'runs'
    self.folder.mkdir()

  def gather(self, ids=('2a', 'a11a')):
    figures = [command.choose_figures(id_)[0] for id_ in ids]
    return material.gather(str(self.folder), figures, command._has_run)

  def page(self, ids=('2a', 'a11a')):
    return _Page(page.document(self.gather(ids)))

  def test_runs_without_a_sweep(self):
    synthetic_runs.gridworld(self.folder / 'offline_fqi', [20, 45, 40, 30])
    found = self.page(('2a',))
    self.assertIn('1 run: 1 recorded, 2 missing', found.text['header'])
    self.assertNotIn('#failures', found.text)

  def test_a_run_by_itself(self):
    synthetic_runs.gridworld(self.folder / 'oracle', [20, 45, 40, 30])
    self.folder /= 'oracle'
    self.assertIn('oracle', self.page(('a11a',)).text['#runs-table'])

  def test_a_damaged_sweep_file(self):
    synthetic_runs.gridworld(self.folder / 'oracle', [20, 45, 40, 30])
    for text in ('{"runs"', '[]', '{"format": 1, "runs": {"a": 3}}', '\0'):
      (self.folder / 'sweep.json').write_text(text)
      found = page.heading.write(self.gather(()))
      self.assertIn('Damaged: </strong>sweep.json', found)

  def test_odd_values_in_a_sweep_file(self):
    odd = {key: [] for key in _task('')}
    _sweep(self.folder, {'x': odd, 'y': {}}, started=float('inf'),
           figures='2a', ended=1e99, updated=True)
    text = self.page().text['#runs-table']
    self.assertIn('waiting', text)

  def test_a_sweep_that_died(self):
    _sweep(self.folder, {'oracle': _task('running', ended=None)},
           state='running', ended=None)
    found = self.page(())
    self.assertIn('Interrupted?', found.text['header'])
    self.assertIn('--sweep=grid_off', found.text['header'])
    self.assertIn('1 interrupted', found.text['header'])

  def test_no_rows_at_all(self):
    _sweep(self.folder, {'offline_fqi': _task('waiting')})
    found = self.page()
    self.assertIn('No rows yet', found.text['header'])
    self.assertIn('Not drawn', found.text['#figure-2a'])
    self.assertEmpty(found.every('img'))

  def test_two_runs_of_a_name_are_told(self):
    for place in ('a', 'b'):
      synthetic_runs.gridworld(self.folder / place / 'oracle', [20, 45])
    found = self.page(('a11a',))
    self.assertIn('several runs are called oracle',
                  found.text['#figure-a11a'])

  def test_parts_that_share_a_seed_are_told(self):
    for place in ('seeds_0', 'seeds_0_1'):
      synthetic_runs.gridworld(self.folder / 'oracle' / place, [20, 45])
    text = self.page(('a11a',)).text
    self.assertIn('seed 0 of', text['#failures'])

  def test_a_folder_without_anything(self):
    with self.assertRaisesRegex(UserError, '--runs=.* holds no run'):
      self.gather()
    self.folder /= 'nowhere'
    with self.assertRaisesRegex(UserError, 'nowhere is not a folder'):
      self.gather()

  def test_is_written(self):
    synthetic_runs.gridworld(self.folder / 'oracle', [20, 45])
    path = page.write(self.gather(()), self.folder / 'out')
    self.assertEqual(path, self.folder / 'out' / 'report.html')
    self.assertStartsWith(path.read_text(), '<!DOCTYPE html>')


class PartsOfThePageTest(parameterized.TestCase):

  def test_markup_escapes_all_but_markup(self):
    inner = markup.tag('b', 'x < "y"')
    self.assertEqual(
        markup.tag('p', inner, '\x00\ud800', class_='a"', hidden=True, id=None),
        '<p class="a&quot;" hidden><b>x &lt; &quot;y&quot;</b>\ufffd\ufffd</p>')

  def test_bindings(self):
    self.assertEqual(bindings.parse(_CONFIG.format(7, 0.1)), {
        'Runner.num_iterations': '7',
        'Runner.metrics': "{'srank': @srank, 'loss': @loss}",
        'adam.learning_rate': '0.1',
    })

  def test_differences(self):
    found = bindings.differences({
        'r': {'a.x': '1', 'b.y': '1', 'c.z': '0'},
        's': {'a.x': '1', 'b.y': '2'},
        't': {'a.x': '1', 'b.y': '1'},
    })
    self.assertEqual(
        [(x.binding, dict(x.values), x.is_everywhere) for x in found],
        [('b.y', {'1': ('r', 't'), '2': ('s',)}, True),
         ('c.z', {'0': ('r',), '': ('s', 't')}, False)])

  @parameterized.parameters(
      (27.24, 1.4, '27.2 ± 1.4'),
      (-0.025, 0.142, '−0.03 ± 0.14'),
      (1234.5, 60.0, '1234 ± 60'),
      (3.0, 0.0, '3'),
      (2e9, 1e7, '2e+09 ± 1e+07'),
  )
  def test_numbers_are_told_to_their_spread(self, mean, spread, told):
    self.assertEqual(listing.with_spread(mean, spread), told)

  @parameterized.parameters(
      (12.4, '12 s'), (5400, '90 min'), (9000, '2.5 h'), (None, ''))
  def test_lengths_of_time(self, seconds, told):
    self.assertEqual(times.length(seconds), told)

  def test_a_log_that_is_not_there(self):
    self.assertIsNone(failures.last_lines(pathlib.Path('/nowhere/log')))


if __name__ == '__main__':
  absltest.main()
