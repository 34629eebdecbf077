# Airflow with the pipeline inside: exactly the packages of requirements-container.txt, by hash, in an environment of their own.
# The official image gives the system, the user and the entry point; its own Python packages are not used (docs/containers.md).

FROM apache/airflow:3.3.2-python3.11 AS dependencies
USER 0
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY requirements-uv.txt requirements-container.txt /tmp/
ENV UV_LINK_MODE=copy UV_NO_PROGRESS=1
# Without compiled bytecode, every start of a task takes twice as long.
RUN --mount=type=cache,target=/var/cache/packages \
    python -m venv /tmp/installer \
    && /tmp/installer/bin/python -m pip install --cache-dir /var/cache/packages/pip --quiet --require-hashes -r /tmp/requirements-uv.txt \
    && /tmp/installer/bin/uv venv --quiet --python "$(python -c 'import sys; print(sys._base_executable)')" /opt/pipeline \
    && VIRTUAL_ENV=/opt/pipeline /tmp/installer/bin/uv pip install --quiet --cache-dir /var/cache/packages/uv --compile-bytecode --no-deps --require-hashes -r /tmp/requirements-container.txt
USER 50000

FROM apache/airflow:3.3.2-python3.11
USER 0
COPY --from=dependencies /opt/pipeline /opt/pipeline
# Folders that volumes are mounted on belong to the user who writes them; the code belongs to root, so that no task can change it.
RUN for folder in config csv_inbox data data/warehouse data/warehouse/published logs shop; do \
      install -d -o airflow -g 0 -m 770 "/opt/airflow/${folder}"; done \
    && for service in source airflow redis; do install -d -o airflow -g 0 -m 755 "/opt/airflow/passwords/${service}"; done
ENV PATH="/opt/pipeline/bin:${PATH}" \
    VIRTUAL_ENV=/opt/pipeline \
    PYTHONPATH=/opt/airflow
COPY . /opt/airflow/
RUN python -m compileall -q /opt/airflow
USER 50000
