"""After the first visit the page needs no server, and newer versions do not lock it out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser_fixtures import browser as browser
from demo_fixtures import serving_assets
from page_fixtures import Open
from page_fixtures import built_assets as built_assets
from page_fixtures import built_page as built_page
from page_fixtures import open_page as open_page
from page_fixtures import photos as photos
from page_fixtures import tiny_assets as tiny_assets

from tracenet_demo.assets import INDEX, Asset
from tracenet_demo.server import DemoServer
from tracenet_runtime.bundle.records import MANIFEST_NAME

NEWER_PAGE = b"""<!doctype html><link rel="icon" href="icons/icon.svg">
<p data-testid="status">a newer version of the page</p>"""


@pytest.fixture
def server(tiny_assets: dict[str, Asset]) -> Iterator[DemoServer]:
    """One for each test, which may change what it serves."""
    with serving_assets(dict(tiny_assets)) as running:
        yield running


def release_bundle(assets: dict[str, Asset]) -> None:
    """A bundle that only a newer page can read."""
    name = f"bundle/{MANIFEST_NAME}"
    manifest = {**json.loads(assets[name].content), "schema_version": 99}
    assets[name] = Asset(json.dumps(manifest).encode(), name)


def release_page(assets: dict[str, Asset], index: Asset) -> None:
    """Another index.html, and the service worker that lists it."""
    worker = assets["sw.js"].content.decode()
    digests = {asset.digest for asset in assets.values()}
    (version,) = set(re.findall(r"\b[0-9a-f]{64}\b", worker)) - digests
    worker = worker.replace(assets[INDEX].digest, index.digest)
    worker = worker.replace(version, hashlib.sha256(worker.encode()).hexdigest())
    assets.update({"": index, INDEX: index, "sw.js": Asset(worker.encode(), "sw.js")})


def test_it_works_without_a_network(
    open_page: Open, photos: dict[str, Path], tiny_assets: dict[str, Asset]
) -> None:
    """So does the page's own bundle, with clips: tests/test_web_clip.py."""
    with serving_assets(dict(tiny_assets)) as first:
        phone = open_page(first)
        phone.load()
        assert phone.page.evaluate("window.tracenet.offline")
        phone.open_photo(photos["astronaut"])
        phone.tap(phone.point_at((512, 512), (225, 110)))
        online = phone.mask()
        assert online.any()
    # Nobody answers any more, and the browser has been told so.
    phone.context.set_offline(True)
    phone.page.reload()
    phone.wait_until_ready()
    assert phone.page.evaluate("window.crossOriginIsolated"), "offline it would have no threads"
    phone.open_photo(photos["astronaut"])
    phone.tap(phone.point_at((512, 512), (225, 110)))
    assert (phone.mask() == online).all()
    phone.shown("sample-rocket").tap()
    phone.wait_for("status", "Tap a thing in the photo.")
    phone.assert_sound()


def test_a_newer_bundle_does_not_stop_an_older_page(open_page: Open, server: DemoServer) -> None:
    assert isinstance(server.assets, dict)
    phone = open_page()
    phone.load()
    assert phone.page.evaluate("window.tracenet.offline")
    release_bundle(server.assets)
    phone.page.reload()
    phone.wait_until_ready()
    # Without the stored bundle it cannot go on, and gives way to the newer page.
    release_page(server.assets, Asset(NEWER_PAGE, INDEX))
    assert phone.page.evaluate(
        "async () => { const names = await caches.keys();"
        " const bundles = names.filter(name => name.startsWith('tracenet-bundle'));"
        " return (await Promise.all(bundles.map(name => caches.delete(name)))).length; }"
    )
    phone.page.reload()
    phone.wait_for("status", "a newer version of the page")
    phone.assert_sound()


# The bundle that is stored becomes one of an older schema.
AGE_STORED_BUNDLE = """async () => {
  const [name] = (await caches.keys()).filter(name => name.startsWith("tracenet-bundle"));
  const cache = await caches.open(name);
  const [address] = (await cache.keys()).filter(({ url }) => url.endsWith("/manifest.json"));
  const manifest = await (await cache.match(address)).json();
  manifest.schema_version--;
  await cache.put(address, new Response(JSON.stringify(manifest)));
}"""
ACTIVATE_NEWER_PAGE = """async () => {
  const registration = await navigator.serviceWorker.getRegistration();
  await registration.update();
  const worker = registration.installing ?? registration.waiting;
  worker.postMessage("activate");
  while (worker.state !== "activated") await new Promise(done => setTimeout(done, 20));
}"""
STORED_BUNDLES = """async () =>
  (await caches.keys()).filter(name => name.startsWith("tracenet-bundle")).length"""


def test_a_newer_page_recovers_from_an_older_bundle(
    open_page: Open, photos: dict[str, Path], server: DemoServer
) -> None:
    assert isinstance(server.assets, dict)
    phone = open_page()
    phone.load()
    assert phone.page.evaluate("window.tracenet.offline")
    phone.page.evaluate(AGE_STORED_BUNDLE)
    release_page(server.assets, Asset(server.assets[INDEX].content + b"<!-- newer -->", INDEX))
    phone.page.evaluate(ACTIVATE_NEWER_PAGE)
    assert phone.page.evaluate(STORED_BUNDLES) == 0
    # Offline it says what it lacks, and goes on once there is a connection.
    phone.context.set_offline(True)
    phone.page.reload()
    phone.wait_for("error", "check the connection")
    phone.context.set_offline(False)
    phone.shown("error").get_by_role("button", name="Retry").tap()
    phone.wait_until_ready()
    assert phone.page.evaluate("window.tracenet.offline")
    phone.context.set_offline(True)
    phone.page.reload()
    phone.wait_until_ready()
    phone.open_photo(photos["astronaut"])
    phone.tap(phone.point_at((512, 512), (225, 110)))
    assert phone.mask().any()
    assert phone.elsewhere == []


@pytest.mark.slow
def test_pages_in_two_folders_of_an_origin_leave_each_other_alone(
    open_page: Open, server: DemoServer
) -> None:
    assert isinstance(server.assets, dict)
    older = dict(server.assets)
    release_page(server.assets, Asset(older[INDEX].content + b"<!-- newer -->", INDEX))
    newer = dict(server.assets)
    folders = {"one/": older, "two/": newer}
    for folder, assets in folders.items():
        server.assets.update({folder + name: asset for name, asset in assets.items()})
    phone = open_page()
    for folder in folders:
        phone.load(folder)
        assert phone.page.evaluate("window.tracenet.offline")
    phone.context.set_offline(True)
    for folder in folders:
        phone.load(folder)
    phone.assert_sound()


def test_a_page_that_the_browser_has_deleted_is_stored_again(open_page: Open) -> None:
    phone = open_page()
    phone.load()
    assert phone.page.evaluate("window.tracenet.offline")
    assert phone.page.evaluate(
        "async () => { const names = await caches.keys();"
        " return caches.delete(names.find(name => name.startsWith('tracenet-page'))); }"
    )
    phone.page.reload()
    phone.wait_until_ready()
    assert phone.page.evaluate("window.tracenet.offline")
    phone.context.set_offline(True)
    phone.page.reload()
    phone.wait_until_ready()
    phone.assert_sound()


def test_it_can_be_installed(open_page: Open) -> None:
    """Chromium finds nothing in the manifest that keeps the page from being an app."""
    phone = open_page()
    phone.load()
    assert phone.page.evaluate("window.tracenet.offline")
    devtools = phone.context.new_cdp_session(phone.page)
    manifest = devtools.send("Page.getAppManifest")
    assert manifest["url"] == f"{phone.address}manifest.webmanifest"
    assert manifest["errors"] == []
    refusals = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # Contexts of tests are incognito windows, from which nothing installs.
    assert [it["errorId"] for it in refusals if it["errorId"] != "in-incognito"] == []
    phone.assert_sound()
