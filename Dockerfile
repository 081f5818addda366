# One image with both programs; the container's command chooses. `make image` builds it (README, "As an image").
# The image runs on BASE_IMAGE, which needs Python 3.11 or newer and no shell. BUILD_IMAGE has the same Python at the
# same path, with venv, pip and a shell.
ARG BASE_IMAGE=python:3.12-slim-bookworm
ARG BUILD_IMAGE=${BASE_IMAGE}

FROM ${BUILD_IMAGE} AS build
# A wheel is a zip file, which knows no time before 1980.
ARG SOURCE_DATE_EPOCH=315532800
ENV PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY tools/lock/build.txt tools/lock/runtime.txt /src/tools/lock/
# --no-deps: the lock is the whole list; otherwise pip asks the index for `coverage[toml]` and the like, and a release of today breaks it.
# The secrets are pip's configuration and a bundle of certificates, where the index needs them; no layer holds them.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca \
  python3 -m venv /opt/build \
  && python3 -m venv --without-pip /opt/controlcore \
  && /opt/build/bin/pip install --no-deps --require-hashes -r tools/lock/build.txt \
  && /opt/build/bin/pip --python /opt/controlcore/bin/python install --no-compile --only-binary :all: --no-deps --require-hashes -r tools/lock/runtime.txt
COPY pyproject.toml README.md LICENSE CHANGELOG.md /src/
COPY docs/man /src/docs/man
COPY chassis /src/chassis
COPY exporter /src/exporter
COPY remediations /src/remediations
COPY rules /src/rules
COPY dashboards /src/dashboards
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /dist \
  && /opt/build/bin/pip --python /opt/controlcore/bin/python install --no-compile --no-deps --no-index --find-links /dist controlcore-sidecar \
  && /opt/build/bin/pip --python /opt/controlcore/bin/python check
# The sources alone decide what is in the layer. Bytecode holds no time and is not compared with its source, which never
# changes here. kubernetes_asyncio stays without (21 MB): only a kubeconfig with an auth-provider imports it.
RUN rm -r /opt/controlcore/bin/activate* /opt/controlcore/bin/Activate* \
  && PYTHONHASHSEED=0 /opt/controlcore/bin/python -m compileall -q -f --invalidation-mode unchecked-hash -x /kubernetes_asyncio/ /opt/controlcore/lib \
  && mkdir -p /image/opt \
  && mv /opt/controlcore /image/opt/ \
  && find /image -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="controlcore-sidecar" \
  org.opencontainers.image.description="controlcore-exporter and controlcore-remediator: monitoring and repair for Control Core" \
  org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
ENV PATH=/opt/controlcore/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 9877 9878
# Whichever of the two programs this container runs; with another port the container gets a health check of its own.
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 \
  CMD ["controlcore-exporter", "healthcheck", "--timeout", "3", "--url", "http://127.0.0.1:9877", "--url", "http://127.0.0.1:9878"]
# The chart names the program; alone the image is the one that changes nothing.
CMD ["controlcore-exporter"]
