from django.contrib import admin

from .models import Stream


@admin.register(Stream)
class StreamAdmin(admin.ModelAdmin):
    list_display = ["user", "key", "started_at", "live"]
    list_select_related = ["user"]

    @admin.display(boolean=True)
    def live(self, stream):
        return stream.is_live
