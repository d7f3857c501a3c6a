"""Typed IDs used as their types say: a type checker has nothing to object to."""

from labkit.ids import ThreadID, UserID, ensure_user_id


def owner(user: UserID, thread: ThreadID) -> str:
    """Takes one id of each kind."""
    return f"{user} owns {thread}"


OWNED = owner(UserID.new(), ThreadID.new())
READ = owner(ensure_user_id(OWNED.split()[0]), ThreadID.parse(OWNED.split()[2]))
TEXT: str = UserID.new()
