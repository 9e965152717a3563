"""Commands that stand for Slurm's, in a folder; jobs run at once or never.

In the folder `sinfo` is what sinfo prints, `refuse` what sbatch refuses jobs
with, `silent` what makes squeue fail; with `run` jobs run. `jobs/ID` is the
rest of a job's line as squeue prints it, `scripts/ID` what sbatch was given,
`calls` what was called.
"""

import pathlib

_COMMANDS = {
    'sbatch': r'''
if [ -e refuse ]; then cat refuse >&2; exit 1; fi
name=$(sed -n 's/^#SBATCH --job-name=//p' "$1")
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$1")
number=$((100 + $(ls scripts | wc -l)))
cp "$1" scripts/$number
if [ -n "$last" ]; then indices=$(seq 0 $last); else indices=-; fi
for index in $indices; do
  id=$number
  if [ $index != - ]; then id=${number}_$index; fi
  echo "PENDING|None|$name" > jobs/$id
  if [ -e run ]; then ./node $id $name scripts/$number > /dev/null 2>&1 & fi
done
echo Submitted batch job $number
''',
    'node': r'''
export SLURM_JOB_ID=${1%_*}
case $1 in *_*)
  export SLURM_ARRAY_JOB_ID=${1%_*} SLURM_ARRAY_TASK_ID=${1#*_};;
esac
echo "RUNNING|None|$2" > jobs/$1
if bash $3; then state=COMPLETED; else state=FAILED; fi
echo "$state|None|$2" > jobs/$1
''',
    'srun': r'''
while [ "${1#*python}" = "$1" ]; do shift; done
exec "$@"
''',
    'squeue': r'''
if [ -e silent ]; then
  echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2
  exit 1
fi
for path in jobs/*; do
  if [ -e $path ]; then echo "${path#jobs/}|$(cat $path)"; fi
done
''',
    # A job has ended only when the test says so.
    'scancel': r'''
for id in "$@"; do
  if [ -e jobs/$id ]; then sed -i 's/^[A-Z_]*/COMPLETING/' jobs/$id; fi
done
''',
    'scontrol': 'echo "MaxArraySize            = 4"\n',
    'sinfo': 'cat sinfo\n',
    'sacct': 'echo Slurm accounting storage is disabled >&2; exit 1\n',
}


def install(root: pathlib.Path) -> None:
  """Makes the folder, and commands in root/bin."""
  for name in ('bin', 'jobs', 'scripts'):
    (root / name).mkdir()
  for name, body in _COMMANDS.items():
    # Only what runs a job needs to stay where it was started.
    place = '' if name == 'srun' else f'cd {root}\n'
    path = root / ('node' if name == 'node' else f'bin/{name}')
    note = f'echo {name} "$@" >> {root}/calls\n'
    path.write_text(f'#!/bin/sh\n{note}{place}{body}')
    path.chmod(0o755)
