"""After the first visit the page needs no server."""

from __future__ import annotations

from pathlib import Path

from browser_fixtures import browser as browser
from demo_fixtures import serving
from page_fixtures import Open
from page_fixtures import built_page as built_page
from page_fixtures import open_page as open_page
from page_fixtures import photos as photos
from page_fixtures import server as server

from tracenet_demo.cli import DEFAULT_BUNDLE


def test_it_works_without_a_network(
    open_page: Open, photos: dict[str, Path], built_page: Path
) -> None:
    with serving(built_page, DEFAULT_BUNDLE) as first:
        phone = open_page(first)
        phone.load()
        assert phone.page.evaluate("window.tracenet.offline")
        phone.open_photo(photos["astronaut"])
        phone.tap(phone.point_at((512, 512), (225, 110)))
        online = phone.mask()
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
