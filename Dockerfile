# Stage one installs what is needed into a folder of its own; stage two takes that folder and nothing else along.
FROM python:3.13-slim AS build

# EXCHANGES=1 (or true, yes) adds what asking exchanges (BTC@kraken) needs: 100 MB.
ARG EXCHANGES=

WORKDIR /build
COPY requirements.txt .
COPY requirements-exchanges.txt .
# Wheels only: nothing is compiled, and no package's own code runs while it is installed. The files name all there is
# to install, and ccxt wants other versions of some of it: nothing is to be resolved.
RUN case "$EXCHANGES" in 1|[Tt][Rr][Uu][Ee]|[Yy][Ee][Ss]) more="-r requirements-exchanges.txt" ;; *) more="" ;; esac \
 && python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install \
      --no-cache-dir --no-compile --disable-pip-version-check --only-binary :all: --no-deps \
      -r requirements.txt $more

WORKDIR /app
COPY sql sql
COPY app app
# The running container cannot write beside the code, so what Python would cache there is made now. Bound to content,
# not to time stamps, and not looked at again.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib app


FROM python:3.13-slim

# No program in here makes its caller somebody else. And the base image brings Python's own library uncompiled: without
# this every health check would compile it anew, which takes four times as long as the check.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && python -m compileall -q -j 0 -x '/(test|tests|idlelib|ensurepip|site-packages)/' \
      --invalidation-mode unchecked-hash "$(python -c 'import os; print(os.path.dirname(os.__file__))')" \
 && groupadd --gid 10001 cryptomonitor \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin cryptomonitor \
 && install -d -o cryptomonitor -g cryptomonitor /app/data /app/alerts

COPY --from=build /venv /venv
COPY --from=build /app /app
# For who mounts nothing over it: the rules as shipped, not those of the machine that builds this.
COPY --from=build /app/app/alerts/shipped.toml /app/alerts/rules.toml

ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# A number, so that it can be checked from outside that this is not root.
USER 10001:10001
WORKDIR /app
EXPOSE 8000
ENTRYPOINT ["python", "-m", "app"]
CMD ["run"]
# Healthy means that the daemon runs and that new ticks arrive, not that a process exists.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "app.health"]
