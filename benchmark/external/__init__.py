"""Attacks of other code: trials exported for them, and their images or codes scored."""

from hashattack.datasets.errors import UserError


class ExternalError(UserError):
    """Trials, images or codes that cannot be used; the text names every fault and the remedy."""
