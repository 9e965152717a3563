"""Which Atari games there are, and how many actions each has."""

import difflib
import functools
import re

import ale_py
import gin
import gymnasium
from ale_py import roms

from implicit_underparam.errors import UserError

_GYM_ID = re.compile(r'ALE/(\w+)-v5')


@functools.cache
def _rom_ids() -> dict[str, str]:
  """{name as Gym has it: name of the ROM}, for one player."""
  ids = {}
  for name, spec in gymnasium.registry.items():
    match = _GYM_ID.fullmatch(name)
    if match and spec.entry_point == 'ale_py.env:AtariEnv':
      ids[match[1]] = str(spec.kwargs['game'])
  return ids


def known_games() -> tuple[str, ...]:
  """Names of the games that the emulator knows, as 'MsPacman', sorted."""
  return tuple(sorted(_rom_ids()))


def rom_id(game: str) -> str:
  """The emulator's own name of a game: 'MsPacman' -> 'ms_pacman'.

  Args:
    game: one of `known_games()`.

  Raises:
    UserError: there is no such game; lists the nearest names.
  """
  ids = _rom_ids()
  if game not in ids:
    raise UserError(f'game {game!r} is not known: {_nearest(game)}')
  return ids[game]


def _nearest(game: str) -> str:
  """Which names may have been meant, as the end of a sentence."""
  bare = re.sub(r'^ALE/|(NoFrameskip)?-v\d+$', '', game)
  plain = {name.lower(): name for name in _rom_ids()}
  wanted = re.sub(r'[\W_]', '', bare).lower()
  found = difflib.get_close_matches(wanted, plain, n=3, cutoff=0.6)
  if found and found[0] == wanted:
    return f'write {plain[wanted]!r}'
  if found:
    return f'the nearest are {", ".join(plain[name] for name in found)}'
  return 'give a name such as Pong, MsPacman or UpNDown'


@gin.register('atari_num_actions')
@functools.cache
def num_actions(game: str, full_action_space: bool = False) -> int:
  """Actions of a game: the minimal set, or all of the joystick's.

  Loads the ROM into an emulator, once for each game and process.

  Args:
    game: one of `known_games()`.
    full_action_space: count all actions (18), not those the game uses.

  Raises:
    UserError: there is no such game.
  """
  name = rom_id(game)
  ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
  emulator = ale_py.ALEInterface()
  path = roms.get_rom_path(name)
  assert path is not None  # The name is the emulator's own.
  emulator.loadROM(path)
  if full_action_space:
    return len(emulator.getLegalActionSet())
  return len(emulator.getMinimalActionSet())
