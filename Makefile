# Everything runs in .venv, made here from hash-pinned requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# slow suites start processes of their own and are timed: one after the other
SLOW := $(BIN)/python -m pytest -x -q -n 0

PIN := $(BIN)/uv pip compile --quiet --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header
COMPILE := $(PIN) --universal --python-version 3.11
# for install.sh: numpy is apt's
COMPILE_PI := $(PIN) --python-platform aarch64-unknown-linux-gnu --only-binary :all: --no-emit-package numpy

.PHONY: demo test test-arm test-camera test-detector test-jax test-long test-outputs test-parity test-ray test-service soak lint types \
    wheel fuzz schema lock clean

demo: $(VENV)/.ready ## synthetic data → train → export --int8 → gate → run, with its tables
	$(BIN)/fer-edge demo

test: $(VENV)/.ready lint types ## lint, types and the core tests
	$(BIN)/python -m pytest -x -q

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

test-camera: $(VENV)/.ready ## fer-edge run on the real picamera2 and a virtual camera; needs root
	$(SLOW) tests/slow/virtual_camera

test-service: $(VENV)/.ready ## install.sh and the unit on a real systemd, in systemd-nspawn; needs root
	$(SLOW) tests/slow/service

test-outputs: $(VENV)/.ready ## the page in a real browser, MQTT with a real broker
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/slow/page.txt
	$(SLOW) tests/slow/test_mqtt_broker.py tests/slow/test_page.py

test-long: $(VENV)/.ready ## training and export at length: the ladder, two heads, own labels, the papers' runs
	$(BIN)/python -m pytest -x -q tests/slow/long

test-detector: $(VENV)/.ready ## a detector trained on drawn heads finds them; minutes of training, not in CI
	$(SLOW) tests/slow/test_drawn_detector.py

test-parity: $(VENV)/.ready ## the same answers from Keras, LiteRT, tflite-runtime and ONNX Runtime
	$(SLOW) tests/slow/test_parity.py

test-arm: $(VENV)/.ready ## the same on emulated Raspberry Pis, and their instruction counts
	$(BIN)/python benchmarks/arm/emulator.py
	$(SLOW) tests/slow/test_parity.py tests/slow/test_arm.py

soak: $(VENV)/.ready ## 200,000 frames through the whole pipeline, faults at random
	$(SLOW) -s tests/slow/test_soak.py

test-jax: $(VENV)/.ready ## training on JAX, on one and on two devices
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/slow/jax.txt
	$(SLOW) tests/slow/test_jax.py

test-ray: $(VENV)/.ready ## the papers' runs on a Ray cluster of two workers
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/slow/ray.txt
	$(SLOW) tests/slow/test_ray.py

wheel: $(VENV)/.ready ## build the wheel, run the demo from it; what it takes on a device
	$(SLOW) -s tests/slow/test_wheel.py tests/slow/test_footprint.py

fuzz: $(VENV)/.ready ## 10,000 mutated bundles and 10,000 mutated models, 5 minutes on 2 cores
	$(SLOW) tests/slow/test_fuzz_bundle.py

schema: $(VENV)/.ready ## write the JSON Schema of a bundle's manifest from its definition
	$(BIN)/fer-edge bundle schema > docs/bundle.schema.json

lock: $(VENV)/.ready ## pin the newest versions that pyproject.toml allows
	$(COMPILE) --upgrade pyproject.toml --extra all --group dev --output-file requirements.txt
	for extra in jax page ray; do \
	    $(COMPILE) --upgrade tests/slow/$$extra.in -c requirements.txt -o tests/slow/$$extra.txt || exit; \
	done
	$(COMPILE) --upgrade tests/slow/tflite-runtime.in --output-file tests/slow/tflite-runtime.txt
	$(COMPILE) --upgrade pyproject.toml --extra device -c benchmarks/arm/bookworm.txt \
	    --output-file benchmarks/arm/requirements.txt
	$(COMPILE) --upgrade device/build.in -c requirements.txt -o device/build.txt
	for suite in bookworm:3.11 trixie:3.13; do \
	    $(COMPILE_PI) --upgrade pyproject.toml --extra device --extra web --extra mqtt \
	        --python-version $${suite#*:} -c device/$${suite%:*}.in --output-file device/$${suite%:*}.txt || exit; \
	done

$(VENV)/.ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	    { echo "fer-edge needs Python 3.11, 3.12 or 3.13; name one with: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	    { echo "cannot make a virtual environment; on Debian: apt install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf $(VENV) dist build .pytest_cache .ruff_cache .mypy_cache
