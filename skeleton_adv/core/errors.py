"""Users' mistakes. Each message is one line that names the file or key, the value and the way out."""


class UserError(ValueError):
    """An error that the user can fix; shown without a traceback."""


class SettingError(UserError):
    """A setting has an unknown name or a value that is not allowed."""


class DataError(UserError):
    """A user's data cannot be read."""


class CheckpointError(UserError):
    """A checkpoint is missing or damaged, or does not fit the model."""


class RunError(UserError):
    """Records of a run are damaged, unfinished or do not belong together."""


class AttackError(UserError):
    """An attack exceeded its declared access, or returned clips that are not allowed."""
