# One image with both programs; the entry point chooses. BASE_IMAGE may be any Debian-like image with Python 3.11 or newer.
ARG BASE_IMAGE=python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS build
COPY pyproject.toml README.md LICENSE CHANGELOG.md /src/
COPY tools/lock/build.txt tools/lock/runtime.txt /src/tools/lock/
# --no-deps: the lock is the whole list; otherwise pip asks the index for `coverage[toml]` and the like, and a release of today breaks it.
RUN python3 -m venv /opt/controlcore && /opt/controlcore/bin/pip install --no-cache-dir --no-deps --require-hashes -r /src/tools/lock/runtime.txt
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r /src/tools/lock/build.txt
COPY docs/man /src/docs/man
COPY chassis /src/chassis
COPY exporter /src/exporter
COPY remediations /src/remediations
COPY rules /src/rules
COPY dashboards /src/dashboards
RUN cd /src && /opt/build/bin/python -m hatchling build --target wheel --directory /dist \
  && /opt/controlcore/bin/pip install --no-cache-dir --no-deps --no-index /dist/*.whl \
  && /opt/controlcore/bin/pip check

FROM ${BASE_IMAGE}
RUN useradd --uid 65532 --no-create-home --shell /usr/sbin/nologin controlcore
COPY --from=build /opt/controlcore /opt/controlcore
ENV PATH=/opt/controlcore/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 9877 9878
# The chart names the program; alone the image is the one that changes nothing.
CMD ["controlcore-exporter"]
