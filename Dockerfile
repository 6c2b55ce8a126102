# The runner as an image: docs/container.md. The version is the one of runner/_version.py.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
ARG EXTRAS=aws,notify,sandbox
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY runner runner
COPY lambdas lambdas
COPY sandbox sandbox
ENV PIP_CONSTRAINT=/src/constraints.txt
RUN python -m venv --without-pip /opt/bulkhead \
    && python -m pip --python /opt/bulkhead/bin/python install --no-cache-dir --disable-pip-version-check ".[${EXTRAS}]"

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="Bulkhead" \
    org.opencontainers.image.description="Bulk runner for Dromo Headless imports" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="0.1.0"
RUN groupadd --gid 10001 bulkhead \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin bulkhead \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/bulkhead /opt/bulkhead
# Nothing but /data is written. The schedulers of containers wait 30 seconds between SIGTERM and SIGKILL.
ENV PATH=/opt/bulkhead/bin:$PATH \
    HOME=/data \
    XDG_STATE_HOME=/data/.state \
    PYTHONDONTWRITEBYTECODE=1 \
    BULKHEAD_STOP_WITHIN=20s
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
ENTRYPOINT ["bulkhead"]
CMD ["--help"]
