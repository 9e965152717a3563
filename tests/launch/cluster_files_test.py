"""The configuration files of clusters, against what Ray makes of them."""

import copy
import pathlib
import re
from typing import Any

import jsonschema
import yaml
from absl.testing import absltest, parameterized
from ray._private.accelerators import tpu
from ray.autoscaler._private import util
from ray.autoscaler._private.kuberay import autoscaling_config

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'launch' / 'cluster'
LAUNCHER = ('gcp_gpu', 'gcp_tpu', 'aws_gpu')
KUBERAY = ('kuberay_gpu', 'kuberay_tpu')
VALUES = {
    'PROJECT': 'my-project',
    'REGION': 'us-east5',
    'ZONE': 'us-east5-b',
    'AMI': 'ami-0123456789abcdef0',
    'PROFILE': 'arn:aws:iam::123456789012:instance-profile/sweeps',
    'IMAGE': 'us-docker.pkg.dev/my-project/images/rank-collapse:1',
}
_PLACEHOLDER = re.compile(r'<([A-Z]+)>')


def text(name: str) -> str:
  return (FOLDER / f'{name}.yaml').read_text()


def filled(name: str) -> dict[str, Any]:
  return yaml.safe_load(
      _PLACEHOLDER.sub(lambda found: VALUES[found[1]], text(name))
  )


def extras() -> set[str]:
  setup = (ROOT / 'setup.py').read_text()
  return set(re.findall(r"^    '(\w+)': \[", setup, re.MULTILINE))


class LauncherTest(parameterized.TestCase):

  @parameterized.parameters(*LAUNCHER)
  def test_ray_accepts_it(self, name):
    config = util.prepare_config(filled(name))
    util.validate_config(config)
    # What `ray up` lays over the file is laid over another one as well.
    self.assertEqual(config['cluster_name'], filled(name)['cluster_name'])
    self.assertTrue(
        any('ray start' in x for x in config['head_start_ray_commands'])
    )

  @parameterized.parameters(*LAUNCHER)
  def test_ray_would_refuse_a_wrong_one(self, name):
    good = util.prepare_config(filled(name))
    for path, value in (
        (('cluster_name',), 7),
        (('spot',), True),
        (('available_node_types', 'head', 'resources', 'CPU'), 'many'),
    ):
      config = inner = copy.deepcopy(good)
      for key in path[:-1]:
        inner = inner[key]
      inner[path[-1]] = value
      with self.assertRaises(jsonschema.ValidationError):
        util.validate_config(config)

  @parameterized.parameters(*LAUNCHER)
  def test_workers_come_and_go(self, name):
    config = util.prepare_config(filled(name))
    types = dict(config['available_node_types'])
    head = types.pop(config['head_node_type'])
    # A run on the small head would be in the way of the sweep.
    self.assertEqual((head['resources'], head['max_workers']), ({'CPU': 0}, 0))
    (worker,) = types.values()
    self.assertEqual(worker['min_workers'], 0)
    self.assertEqual(worker['max_workers'], config['max_workers'])
    self.assertTrue({'GPU', 'TPU'} & worker['resources'].keys())
    # What a run of Atari asks for.
    self.assertGreaterEqual(worker['resources']['CPU'], 8)

  @parameterized.parameters(*LAUNCHER)
  def test_workers_may_be_taken_back_by_the_cloud(self, name):
    types = filled(name)['available_node_types']
    worker = next(x['node_config'] for k, x in types.items() if k != 'head')
    places = ('scheduling', 'schedulingConfig', 'InstanceMarketOptions')
    (marks,) = [worker[x] for x in places if x in worker]
    self.assertTrue(
        marks.get('preemptible') is True or marks.get('MarketType') == 'spot'
    )

  @parameterized.parameters(*LAUNCHER)
  def test_the_package_is_installed_from_the_checkout(self, name):
    config = filled(name)
    self.assertEqual(
        config['file_mounts'], {'/home/ubuntu/implicit_underparam': '.'}
    )
    self.assertEqual(config['auth']['ssh_user'], 'ubuntu')
    commands = '\n'.join(config['setup_commands'])
    self.assertRegex(commands, r'uv venv --python 3\.1[1-9]')
    chosen = set(
        re.search(
            r"cd ~/implicit_underparam && .*pip install '\.\[(.*)\]'", commands
        )[1].split(',')
    )
    self.assertEqual(chosen - extras(), set())
    device, store = name.split('_')[1], {'gcp': 'gcs', 'aws': 's3'}[name[:3]]
    self.assertContainsSubset({'launch', device, store}, chosen)

  def test_a_tpu_worker_is_one_host_and_says_how_many_chips(self):
    worker = filled('gcp_tpu')['available_node_types']['tpu']
    kind = worker['node_config']['acceleratorType']
    self.assertTrue(
        tpu.TPUAcceleratorManager.is_valid_tpu_accelerator_type(kind)
    )
    chips = int(kind.split('-')[1]) // tpu.get_tpu_cores_per_chip(kind)
    self.assertEqual(worker['resources']['TPU'], chips)
    self.assertLessEqual(chips, tpu.get_num_tpu_visible_chips_per_host(kind))

  @parameterized.parameters('gcp_gpu', 'gcp_tpu')
  def test_workers_may_use_the_bucket(self, name):
    types = filled(name)['available_node_types']
    worker = next(x['node_config'] for k, x in types.items() if k != 'head')
    (account,) = worker['serviceAccounts']
    self.assertEqual(
        account['email'],
        'ray-autoscaler-sa-v1@my-project.iam.gserviceaccount.com',
    )

  @parameterized.parameters(*LAUNCHER)
  def test_what_is_to_be_filled_in_is_at_the_top(self, name):
    head, _, rest = text(name).partition('\ncluster_name:')
    self.assertNotEmpty(_PLACEHOLDER.findall(head))
    self.assertEmpty(_PLACEHOLDER.findall(rest))
    self.assertLessEqual(len(head.splitlines()), 12)


class KubeRayTest(parameterized.TestCase):

  def derived(self, name: str) -> dict[str, Any]:
    # What the autoscaler in the head pod makes of the resource.
    config = autoscaling_config._derive_autoscaling_config_from_ray_cr(
        filled(name)
    )
    util.validate_config(config)
    return config

  @parameterized.parameters(
      ('kuberay_gpu', {'GPU': 1}),
      ('kuberay_tpu', {'TPU': 4, 'TPU-v6e-4-head': 1}),
  )
  def test_ray_s_autoscaler_knows_what_a_worker_has(self, name, devices):
    with self.assertNoLogs(autoscaling_config.logger):
      types = self.derived(name)['available_node_types']
    self.assertEqual(types['headgroup']['resources']['CPU'], 0)
    worker = types[name.partition('_')[2]]
    found = dict(worker['resources'])
    self.assertGreaterEqual(found.pop('CPU'), 8)
    self.assertGreater(found.pop('memory'), 2**30)
    self.assertEqual(found, devices)
    self.assertEqual(worker['min_workers'], 0)
    self.assertGreater(worker['max_workers'], 0)

  @parameterized.parameters(*KUBERAY)
  def test_it_scales_and_all_pods_share_the_volume(self, name):
    spec = filled(name)['spec']
    self.assertIs(spec['enableInTreeAutoscaling'], True)
    volume = filled('kuberay_volume')
    self.assertEqual(volume['spec']['accessModes'], ['ReadWriteMany'])
    groups = [spec['headGroupSpec'], *spec['workerGroupSpecs']]
    self.assertLen(groups, 2)
    for group in groups:
      pod = group['template']['spec']
      (container,) = pod['containers']
      self.assertEqual(container['image'], VALUES['IMAGE'])
      self.assertEqual(
          container['volumeMounts'],
          [{'name': 'sweeps', 'mountPath': '/mnt/sweeps'}],
      )
      claim = {'claimName': volume['metadata']['name']}
      self.assertEqual(
          pod['volumes'], [{'name': 'sweeps', 'persistentVolumeClaim': claim}]
      )

  @parameterized.parameters(*KUBERAY)
  def test_the_image_has_the_ray_of_the_cluster(self, name):
    dockerfile = (FOLDER / 'Dockerfile').read_text()
    version, python = re.search(r'ray:([\d.]+)-py3(\d+)\n', dockerfile).groups()
    self.assertEqual(filled(name)['spec']['rayVersion'], version)
    self.assertGreaterEqual(int(python), 11)
    chosen = re.search(r'"\.\[(.*)\]"', dockerfile)[1].split(',')
    self.assertEqual({*chosen} - {'${EXTRA}'} - extras(), set())
    # The extra launch asks for 2.60 at least, and below 3.
    self.assertEqual(version.split('.')[0], '2')
    self.assertGreaterEqual(int(version.split('.')[1]), 60)

  @parameterized.parameters(*KUBERAY)
  def test_what_is_to_be_filled_in_is_at_the_top(self, name):
    head, _, rest = text(name).partition('\nspec:')
    self.assertEqual(_PLACEHOLDER.findall(head), ['IMAGE'])
    self.assertEmpty(_PLACEHOLDER.findall(rest))


class DocumentTest(absltest.TestCase):

  def test_every_file_is_in_the_document_and_the_other_way_round(self):
    document = (ROOT / 'docs' / 'cluster.md').read_text()
    named = set(re.findall(r'launch/cluster/([\w.]+)', document))
    self.assertEqual(named, {x.name for x in FOLDER.iterdir()})

  def test_every_placeholder_is_explained_there(self):
    document = (ROOT / 'docs' / 'cluster.md').read_text()
    for name in (*LAUNCHER, *KUBERAY):
      for word in _PLACEHOLDER.findall(text(name)):
        self.assertIn(f'<{word}>', document)


if __name__ == '__main__':
  absltest.main()
