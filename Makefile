# Needs Python 3.11+ and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check clean

demo: .venv/demo.installed
	@mkdir -p out
	$(BIN)/tracenet-export --target onnx --out out/bundle
	$(BIN)/python -c "import skimage.data as d; from PIL import Image; Image.fromarray(d.chelsea()).save('out/cat.png')"
	$(BIN)/tracenet-tap out/cat.png --at 200,200 --bundle out/bundle --mask out/mask.png --overlay out/overlay.png

test: .venv/dev.installed
	$(BIN)/pytest

check: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv out dist

.venv/%.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c "import sys; sys.exit('TraceNet needs Python 3.11 or newer; set PYTHON=python3.11' if sys.version_info < (3, 11) else 0)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@
