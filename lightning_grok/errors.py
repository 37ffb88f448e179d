"""The one error that is the user's to mend."""


class InputError(ValueError):
    """Bad input: the message is one line that says what was expected and what was received.

    The command line prints the message without a traceback and exits with status 2.
    """


def first_line(error: BaseException) -> str:
    """What an error says, without its explanations."""
    return (str(error).splitlines() or [type(error).__name__])[0]
