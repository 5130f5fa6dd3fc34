from django.conf import settings
from django.db import models
from django.utils.crypto import get_random_string


def new_key():
    return get_random_string(20)


class Stream(models.Model):
    """A user's stream: the key to publish with, and since when it is live."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="stream")
    key = models.CharField(max_length=64, unique=True, default=new_key)
    started_at = models.DateTimeField(null=True, blank=True)

    def __str__(self):
        return self.user.username

    @property
    def is_live(self):
        return self.started_at is not None
