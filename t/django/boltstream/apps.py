from django.apps import AppConfig


class BoltstreamConfig(AppConfig):
    name = "boltstream"
