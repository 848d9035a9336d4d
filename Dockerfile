# syntax=docker/dockerfile:1
# The product without tools or tests. Runs as an ordinary user on a read-only file system; all that
# is written goes to /var/lib/counterfoil.
FROM python:3.13-slim AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir --root-user-action=ignore uv==0.13.8
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin counterfoil \
 && install -d -o counterfoil -g counterfoil -m 0700 /var/lib/counterfoil /run/counterfoil/app \
 && install -d -o counterfoil -g counterfoil -m 0755 /run/counterfoil/admin
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY alembic.ini pyproject.toml ./
COPY graphiql graphiql
COPY migrations migrations
COPY core core
COPY tenants tenants
COPY events events
COPY gateways gateways
COPY ledger ledger
COPY payments payments
COPY webhooks webhooks
COPY resolvers resolvers
COPY schema schema
COPY simulator simulator
COPY counterfoil counterfoil
RUN python -m compileall -q .
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    COUNTERFOIL_HOST=0.0.0.0 \
    COUNTERFOIL_DATA_DIR=/var/lib/counterfoil \
    COUNTERFOIL_LOG_FORMAT=json
USER counterfoil
VOLUME /var/lib/counterfoil
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-m", "counterfoil.health_check", "url", "http://127.0.0.1:8000/readyz"]
CMD ["python", "-m", "counterfoil", "serve"]
