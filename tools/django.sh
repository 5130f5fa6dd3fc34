#!/usr/bin/env bash
# Leaves in objs/ what the tests with Django need: an environment with what t/django/requirements.txt
# lists, and the database that the migrations of the site in t/django make, with an administrator
# in it. Does nothing when both are there.
set -euo pipefail

. "$(dirname "$0")/common.sh"

site=$root/t/django
venv=$objs/django-venv
database=$objs/django.sqlite3

# The list is the last thing to be there.
environment() {
    rm -rf "$venv" &&
        python3 -m venv "$venv" &&
        "$venv/bin/pip" install -q --only-binary :all: --require-hashes -r "$site/requirements.txt" &&
        cp "$site/requirements.txt" "$venv/requirements.txt"
}

manage() {
    SITE_DATABASE=$database.new PYTHONDONTWRITEBYTECODE=1 DJANGO_SUPERUSER_PASSWORD=password \
        "$venv/bin/python" -W error "$site/manage.py" "$@"
}

migrate() {
    rm -f "$database" "$database.new" &&
        manage makemigrations --check --dry-run &&
        manage migrate -v 0 &&
        manage createsuperuser --no-input --username admin --email '' &&
        mv "$database.new" "$database"
}

# An environment whose Python is gone does not run.
if ! cmp -s "$site/requirements.txt" "$venv/requirements.txt" || ! "$venv/bin/python" -c 'import django' 2>/dev/null; then
    say "fetching Django and gunicorn"
    quietly django-venv.log environment
    rm -f "$database"
fi

if [ ! -e "$database" ] || [ -n "$(find "$site" -name '*.py' -newer "$database")" ]; then
    quietly django-database.log migrate
fi
