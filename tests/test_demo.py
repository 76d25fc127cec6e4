"""What tracenet-demo serves, and what it refuses to."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_fixtures import SCRIPT, Client, serving, write_page
from runtime_fixtures import read_manifest, write_manifest, write_tiny_bundle

from tracenet_demo.assets import read_assets
from tracenet_runtime.errors import BundleError

SECRET = b"not to be served"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The page's and the bundle's, which has a file that its manifest does not list."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "secret.txt").write_bytes(SECRET)
    bundle = write_tiny_bundle(folder / "bundle")
    (bundle / "notes.txt").write_bytes(SECRET)
    return write_page(folder / "page"), bundle


@pytest.fixture(scope="module")
def client(folders: tuple[Path, Path]) -> Iterator[Client]:
    with serving(*folders) as server:
        yield Client(server)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/sw.js", "text/javascript; charset=utf-8"),
        ("/assets/plain.mjs", "text/javascript; charset=utf-8"),
        ("/assets/ort-12345678.wasm", "application/wasm"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/icon.png", "image/png"),
        ("/bundle/manifest.json", "application/json"),
        ("/bundle/table.bin", "application/octet-stream"),
        ("/bundle/programs/query_3.onnx", "application/octet-stream"),
    ],
)
def test_files_come_with_their_types(
    client: Client, folders: tuple[Path, Path], path: str, media_type: str
) -> None:
    page, bundle = folders
    response, body = client.ask(path)
    file = bundle.parent / path[1:] if path.startswith("/bundle/") else page / path[1:]
    assert response.status == 200
    assert response.getheader("Content-Type") == media_type
    assert body == (file / "index.html" if path == "/" else file).read_bytes()
    assert response.getheader("Content-Length") == str(len(body))


def test_every_listed_file_of_the_bundle_is_served(
    client: Client, folders: tuple[Path, Path]
) -> None:
    listed = read_manifest(folders[1])["files"]
    assert len(listed) > 10
    for name, record in listed.items():
        response, body = client.ask(f"/bundle/{name}")
        assert response.status == 200
        assert hashlib.sha256(body).hexdigest() == record["sha256"]


@pytest.mark.parametrize("path", ["/", "/bundle/table.bin", "/nothing"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_every_response_isolates_the_page(client: Client, path: str, method: str) -> None:
    response, _ = client.ask(path, method)
    expected = {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'self'",
    }
    assert {name: response.getheader(name) for name in expected} == expected


def test_the_policy_of_the_page_is_sent_as_a_header(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """A policy within the page does not bind its workers."""
    page = write_page(tmp_path / "page")
    shutil.copy(Path(__file__).parent.parent / "runtime" / "web" / "index.html", page)
    with serving(page, folders[1]) as server:
        policy = Client(server).ask("/sw.js")[0].getheader("Content-Security-Policy")
    assert policy is not None
    directives = [directive.strip() for directive in policy.split(";")]
    assert "script-src 'self' 'wasm-unsafe-eval'" in directives
    assert "form-action 'none'" in directives
    text = " ".join((page / "index.html").read_text().split())
    assert f'content=" {policy} "' in text


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip, deflate, br", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("gzip;q=often", False),
        ("", False),
    ],
)
def test_gzip_is_for_those_who_accept_it(client: Client, accepted: str, compressed: bool) -> None:
    response, body = client.ask("/sw.js", Accept_Encoding=accepted)
    assert response.status == 200
    assert response.getheader("Vary") == "Accept-Encoding"
    assert response.getheader("Content-Encoding") == ("gzip" if compressed else None)
    assert response.getheader("Content-Length") == str(len(body))
    assert (len(body) < len(SCRIPT)) == compressed
    assert (gzip.decompress(body) if compressed else body) == SCRIPT


def test_what_does_not_shrink_is_sent_as_it_is(client: Client) -> None:
    response, body = client.ask("/icon.png", Accept_Encoding="gzip")
    assert response.getheader("Content-Encoding") is None
    assert body == bytes(range(256))


@pytest.mark.parametrize("accepted", ["gzip", "identity"])
def test_what_is_unchanged_is_not_sent_again(client: Client, accepted: str) -> None:
    response, _ = client.ask("/sw.js", Accept_Encoding=accepted)
    tag = response.getheader("ETag")
    for asked in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again, body = client.ask("/sw.js", Accept_Encoding=accepted, If_None_Match=asked)
        assert (again.status, body, again.getheader("ETag")) == (304, b"", tag)
        assert again.getheader("Cross-Origin-Resource-Policy") == "same-origin"
    other, body = client.ask("/sw.js", Accept_Encoding=accepted, If_None_Match='"other"')
    assert other.status == 200
    assert body


def test_the_two_forms_of_a_file_have_their_own_tags(client: Client) -> None:
    tags = {client.ask("/sw.js", Accept_Encoding=v)[0].getheader("ETag") for v in ("gzip", "br")}
    assert len(tags) == 2


@pytest.mark.parametrize(
    ("path", "forever"),
    [
        ("/assets/main-Ab3_-xYz.js", True),
        ("/assets/ort-12345678.wasm", True),
        ("/assets/plain.mjs", False),
        ("/", False),
        ("/sw.js", False),
        ("/bundle/manifest.json", False),
        ("/nothing", False),
    ],
)
def test_only_names_with_a_hash_are_kept_without_asking(
    client: Client, path: str, forever: bool
) -> None:
    expected = "public, max-age=31536000, immutable" if forever else "no-cache"
    assert client.ask(path)[0].getheader("Cache-Control") == expected


@pytest.mark.parametrize("path", ["/sw.js", "/nothing"])
def test_head_is_get_without_a_body(client: Client, path: str) -> None:
    got, body = client.ask(path)
    response, nothing = client.ask(path, "HEAD")
    assert (response.status, nothing) == (got.status, b"")
    assert body
    different = ("Date",)
    headers = [[h for h in r.getheaders() if h[0] not in different] for r in (got, response)]
    assert headers[0] == headers[1]


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/bundle/../../secret.txt",
        "/bundle/%2e%2e/%2e%2e/secret.txt",
        "/bundle/..%2f..%2fsecret.txt",
        "/bundle/..%5c..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "//secret.txt",
        "/bundle/notes.txt",
        "/bundle/",
        "/bundle",
        "/bundle/programs/",
        "/assets/",
        "/index.html%00.txt",
        "/%00",
        "/%ff%fe",
        "*",
        "/nothing",
    ],
)
def test_nothing_else_is_served(client: Client, path: str) -> None:
    response, body = client.ask(path)
    assert response.status == 404
    assert SECRET not in body
    assert body == b"404 Not Found\n"


def test_an_absolute_path_of_the_disk_is_not_served(
    client: Client, folders: tuple[Path, Path]
) -> None:
    assert client.ask(f"/{folders[0].parent}/secret.txt")[0].status == 404


def test_a_query_does_not_hide_a_file(client: Client) -> None:
    assert client.ask("/sw.js?v=2")[1] == SCRIPT


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "ANY"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    response, body = client.ask("/sw.js", method)
    assert response.status == 405
    assert response.getheader("Allow") == "GET, HEAD"
    assert body == b"405 Method Not Allowed\n"


def test_a_connection_serves_several_requests(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(
            b"GET /icon.png HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
            b"GET /icon.png HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.count(b"HTTP/1.1 404 Not Found\r\n") == 1
    assert received.count(bytes(range(256))) == 2


def test_a_link_in_the_bundle_is_refused(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (bundle / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(BundleError, match=r"link\.txt links to a file outside the bundle"):
        read_assets(write_page(tmp_path / "page"), bundle)


def test_what_is_changed_later_is_not_served(tmp_path: Path) -> None:
    """What was checked is what is served."""
    bundle = write_tiny_bundle(tmp_path / "bundle")
    with serving(write_page(tmp_path / "page"), bundle) as server:
        before = (bundle / "table.bin").read_bytes()
        (bundle / "table.bin").write_bytes(SECRET)
        assert Client(server).ask("/bundle/table.bin")[1] == before


def test_a_bundle_that_browsers_do_not_run_is_refused(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    manifest = read_manifest(bundle)
    manifest["target"] = "litert"
    write_manifest(bundle, manifest)
    assert json.loads((bundle / "manifest.json").read_text())["target"] == "litert"
    with pytest.raises(BundleError, match="of target litert, which no browser runs; export one"):
        read_assets(write_page(tmp_path / "page"), bundle)
