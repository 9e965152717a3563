"""The one kind of error that is shown to a user as a single line."""


class UserError(Exception):
  """Something the user gave is wrong; the message says what to do.

  Command-line entry points print the message on one line, without a
  traceback, and exit with a non-zero code. A message names the flag, the
  binding or the file at fault and ends with the remedy.
  """
