"""What the stack says when it cannot go on: what is wrong, and how to mend it."""


class StackError(Exception):
    """A fault that a person can mend. The command line prints it in place of a traceback.

    problem: one line, what is wrong and where. fix: one line, what to do. details: lines that help (a log's last ones).
    """

    def __init__(self, problem: str, fix: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(f"{problem} — fix: {fix}")
        self.problem = problem
        self.fix = fix
        self.details = details
