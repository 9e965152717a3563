"""What a user can mend, said in one line."""


class SweepError(Exception):
  """Something that the user can mend; its text is one line."""
