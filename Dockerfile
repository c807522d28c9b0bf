# groupbook's web process, worker and commands in one image. The database is elsewhere: set GROUPBOOK_DATABASE_URL.
#
#   docker build -t groupbook .
#   docker run -p 8000:8000 -e GROUPBOOK_DATABASE_URL=… -e GROUPBOOK_SECRET_KEY=… groupbook
#   docker run … groupbook groupbook migrate
#   docker run … groupbook celery -A worker worker --pool threads --without-gossip --without-mingle --without-heartbeat
#   docker run … groupbook celery -A worker beat --pidfile=
#
# Debian, not Alpine: the wheels of psycopg and PostgreSQL are made for glibc.

FROM python:3.13-slim-bookworm AS build
WORKDIR /source
COPY requirements/run.lock requirements/run.lock
RUN python -m venv /opt/groupbook \
    && /opt/groupbook/bin/pip install --no-cache-dir --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md LICENSE worker.py ./
COPY groupbook groupbook
COPY integrations integrations
RUN /opt/groupbook/bin/pip install --no-cache-dir --no-build-isolation --no-deps . \
    && /opt/groupbook/bin/pip uninstall --yes hatchling editables \
    && /opt/groupbook/bin/python -m compileall -q /opt/groupbook

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin groupbook
COPY --from=build /opt/groupbook /opt/groupbook
ENV PATH=/opt/groupbook/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=2)"]
CMD ["uvicorn", "groupbook.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--timeout-graceful-shutdown", "5"]
