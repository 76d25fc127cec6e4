# Needs Python 3.11+ and make; everything else goes into .venv. The page in a browser also needs Node.
PYTHON ?= python3
BIN := .venv/bin

WEB := runtime/web
WEB_SOURCES := $(shell find $(WEB) \( -name node_modules -o -path $(WEB)/test \) -prune -o -type f -print)
PAGE := runtime/tracenet_demo/page/index.html
PAGE_BUNDLE := runtime/tracenet_demo/bundle/manifest.json
EXPORT_SOURCES := $(shell find tracenet export runtime/tracenet_runtime -name '*.py' -o -name '*.safetensors')

# What Vite asks for.
NODE_SUITS := node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a === 20 && b >= 19 || a === 22 && b >= 12 || a > 22 ? 0 : 1)' 2>/dev/null
NEEDS_NODE = @$(NODE_SUITS) || { echo "The page is built with Node 20.19, 22.12 or newer (https://nodejs.org); here is $$(node --version 2>/dev/null || echo none)." >&2; exit 1; }
# Elsewhere the target is skipped, or fails where changes are judged.
WHERE_NODE_IS = @if $(NODE_SUITS); then $(MAKE) --no-print-directory $(1); else echo "$(1) is skipped: it needs Node 20.19, 22.12 or newer" >&2; test "$$CI" != true; fi

# What a failed command has begun to write is not up to date.
.DELETE_ON_ERROR:
# pip installs into one environment, which two of them at once would spoil.
.NOTPARALLEL:
.PHONY: demo page wheel test test-web check check-web node clean

demo: .venv/demo.installed
	@mkdir -p out
	$(BIN)/tracenet-export --target onnx --out out/bundle
	$(BIN)/python -c "import skimage.data as d; from PIL import Image; Image.fromarray(d.chelsea()).save('out/cat.png')"
	$(BIN)/tracenet-tap out/cat.png --at 200,200 --bundle out/bundle --mask out/mask.png --overlay out/overlay.png

page: $(PAGE) $(PAGE_BUNDLE)

$(PAGE): $(WEB_SOURCES) | $(WEB)/node_modules/.installed
	$(NEEDS_NODE)
	cd $(WEB) && npm run build

$(PAGE_BUNDLE): $(EXPORT_SOURCES) | .venv/demo.installed
	$(BIN)/tracenet-export --target onnx --precision fp16 --out $(@D)

wheel: page
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

# A file's tests share what they export, so that each file runs in one of the two processes. More
# threads in either would take the other's core.
test: .venv/dev.installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
	$(call WHERE_NODE_IS,test-web)

test-web: $(WEB)/node_modules/.installed
	cd $(WEB) && npm test

check: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(call WHERE_NODE_IS,check-web)

check-web: $(WEB)/node_modules/.installed
	cd $(WEB) && npm run check

$(WEB)/node_modules/.installed: $(WEB)/package.json $(WEB)/package-lock.json
	$(NEEDS_NODE)
	cd $(WEB) && npm ci --no-audit --no-fund
	@touch $@

node:
	$(NEEDS_NODE)

clean:
	rm -rf .venv out dist $(WEB)/node_modules $(dir $(PAGE)) $(dir $(PAGE_BUNDLE))

.venv/%.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit('TraceNet needs Python 3.11 or newer; set PYTHON=python3.11' if sys.version_info < (3, 11) else 0)"
	$(PYTHON) -m venv .venv
