"""The commands in a document, to run them as they stand."""

import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).parent.parent


def of(document: str) -> list[list[str]]:
  """The package's commands in a document's blocks, on /tmp, in order.

  Args:
    document: a name in docs/.

  Returns:
    Modules and arguments, without 'python -m'.
  """
  text = (ROOT / 'docs' / document).read_text()
  blocks = re.findall(r'```\n(.*?)```', text, re.DOTALL)
  lines = '\n'.join(blocks).replace('\\\n', ' ').splitlines()
  found = [shlex.split(line) for line in lines if '/tmp/' in line]
  assert all(words[:2] == ['python', '-m'] for words in found)
  return [words[2:] for words in found]
