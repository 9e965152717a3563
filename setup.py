"""Packaging of implicit_underparam."""

import pathlib
import re

import setuptools

_HERE = pathlib.Path(__file__).parent
_VERSION = re.search(
    r"__version__ = '(.*)'",
    (_HERE / 'implicit_underparam' / '__init__.py').read_text(),
)
assert _VERSION

_CORE = [
    'absl-py',
    'ale-py>=0.11.1,<0.13',
    'flax>=0.12,<0.13',
    'gin-config>=0.5,<0.6',
    'gymnasium>=1.1,<2',
    'jax>=0.7,<0.13',
    'matplotlib',
    'numpy',
    'optax>=0.2.5,<0.3',
    'orbax-checkpoint>=0.12,<0.13',
    'tensorboardX',
    'tqdm',
]

_EXTRAS = {
    'dopamine': ['dopamine-rl==4.1.2'],
    'tfds': [
        'array-record',
        'importlib_resources',
        'rlds==0.1.8',
        'tensorflow',
        'tensorflow-datasets>=4.9.10',
    ],
    # Two private methods of its Seaquest are corrected. It imports six.
    'minatar': ['gymnax>=1.0.1,<1.1', 'six'],
    'mujoco': ['gymnasium[mujoco]', 'minari[hdf5]'],
    'launch': ['ray[default]>=2.60,<3'],
    'slurm': ['submitit'],
    # rliable breaks on pandas 3.
    'analysis': ['pandas<3', 'rliable==1.2.0', 'seaborn'],
    'gpu': ['jax[cuda13]'],
    'tpu': ['jax[tpu]'],
}
_EXTRAS['all'] = sorted({
    requirement
    for name, requirements in _EXTRAS.items()
    if name not in ('gpu', 'tpu')
    for requirement in requirements
})
# The tests run beside Dopamine, tensorflow-datasets, rlds, MinAtar, MuJoCo.
_EXTRAS['test'] = [
    'hypothesis',
    'mypy',
    'pytest',
    'pytest-xdist',
    'ruff',
    *_EXTRAS['dopamine'],
    *_EXTRAS['tfds'],
    *_EXTRAS['minatar'],
    'minatar',
    *_EXTRAS['mujoco'],
    *_EXTRAS['launch'],
]

setuptools.setup(
    name='implicit_underparam',
    version=_VERSION[1],
    description='Rank collapse in value-based RL: run it, measure it, fight it',
    long_description=(_HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=[
        *setuptools.find_packages(include=['implicit_underparam*', 'launch*']),
        # The configurations are installed inside the package.
        'implicit_underparam.gin_configs',
    ],
    package_dir={'implicit_underparam.gin_configs': 'gin_configs'},
    package_data={'implicit_underparam.gin_configs': ['*/*.gin']},
    install_requires=_CORE,
    extras_require=_EXTRAS,
)
