"""What nginx-rtmp asks by on_publish and tells by on_publish_done. Both post the stream key as "name"."""

from django.http import HttpResponse, HttpResponseForbidden, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from .models import Stream


@csrf_exempt
@require_POST
def on_publish(request):
    """A redirect gives the stream the username for its name."""
    return _publish(request, HttpResponseRedirect)


@csrf_exempt
@require_POST
def on_publish_by_shortcut(request):
    """The same by Django's shortcut, which takes a text without "/" and "." for the name of a view."""
    return _publish(request, redirect)


@csrf_exempt
@require_POST
def on_publish_done(request):
    Stream.objects.filter(key=request.POST["name"]).update(started_at=None)
    return HttpResponse()


def _publish(request, answer):
    stream = get_object_or_404(Stream, key=request.POST["name"])
    if not stream.user.is_active:
        return HttpResponseForbidden("inactive")
    if stream.is_live:
        return HttpResponseForbidden("already streaming")
    stream.started_at = timezone.now()
    stream.save()
    return answer(stream.user.username)
