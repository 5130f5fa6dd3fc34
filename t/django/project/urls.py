from django.contrib import admin
from django.urls import path

from boltstream import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("on_publish", views.on_publish),
    path("on_publish_by_shortcut", views.on_publish_by_shortcut),
    path("on_publish_done", views.on_publish_done),
]
