"""Downloads come whole and checked, or not at all; archives cannot write outside their folder."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nin_onnx.data.remote import RemoteFile, fetch, unpack
from nin_onnx.errors import DataError

if TYPE_CHECKING:
    from tests.core.data.conftest import Server

CONTENT = b"some bytes, " * 1000


def remote(server: "Server", content: bytes = CONTENT) -> RemoteFile:
    return RemoteFile("data.bin", server.url("data.bin"), hashlib.md5(content).hexdigest())


def test_a_download_arrives_with_its_content(server: "Server", tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    path = fetch(remote(server), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "data.bin"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_there_is_not_downloaded_again(server: "Server", tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(CONTENT)
    fetch(remote(server), tmp_path)
    assert server.requests == []


def test_a_download_says_nothing_where_no_terminal_watches(
    server: "Server", tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.files["data.bin"] = CONTENT
    fetch(remote(server), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_progress_bar_shows_on_a_terminal(
    server: "Server", tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["data.bin"] = CONTENT
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    fetch(remote(server), tmp_path)
    assert "100%" in capsys.readouterr().err


def test_a_tampered_download_is_refused_with_both_checksums_and_leaves_nothing(server: "Server", tmp_path: Path) -> None:
    server.files["data.bin"] = tampered = CONTENT.replace(b"some", b"evil", 1)
    with pytest.raises(DataError) as caught:
        fetch(remote(server), tmp_path)
    message = str(caught.value)
    assert hashlib.md5(CONTENT).hexdigest() in message
    assert hashlib.md5(tampered).hexdigest() in message
    assert f"'{server.url('data.bin')}'" in message
    assert f"put the files into '{tmp_path}'" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing(server: "Server", tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    server.short.add("data.bin")
    with pytest.raises(DataError, match=r"cannot be downloaded .*by hand$"):
        fetch(remote(server), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(server: "Server", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pooch

    def interrupted(self: Any, url: str, output_file: str, *_: object, **__: object) -> None:
        Path(output_file).write_bytes(CONTENT[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(remote(server), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_the_server_lacks_is_named_with_the_servers_answer(server: "Server", tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch(remote(server), tmp_path)
    assert str(caught.value) == (
        f"'{server.url('data.bin')}' cannot be downloaded (404 Not Found): try again, or put the files into '{tmp_path}' by hand"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_network_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file = RemoteFile("data.bin", "http://127.0.0.1:9/data.bin", "0" * 32)  # port 9: nothing listens
    with pytest.raises(DataError, match=r"^'http://127.0.0.1:9/data.bin' cannot be downloaded \(ConnectionError\): try again"):
        fetch(file, tmp_path)


def test_a_missing_pooch_is_named_with_its_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(DataError, match="needs the package 'pooch': pip install pooch"):
        fetch(RemoteFile("data.bin", "http://127.0.0.1/", ""), tmp_path)


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_an_archives_files_are_unpacked_and_others_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    source = archive(
        tmp_path / "a.tar.gz",
        (tarfile.TarInfo("set/one"), b"1"),
        (tarfile.TarInfo("set/readme"), b"?"),
        (tarfile.TarInfo("two"), b"2"),
    )
    unpack(source, ["set/one", "two"], folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {"one": b"1", "two": b"2"}


def test_files_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "one").write_bytes(b"mine")
    unpack(archive(tmp_path / "a.tar.gz", (tarfile.TarInfo("set/one"), b"1")), ["set/one"], folder)
    assert (folder / "one").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "{outside}/evil"])
def test_a_path_in_an_archive_cannot_lead_outside(tmp_path: Path, name: str) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    name = name.format(outside=outside)
    unpack(archive(tmp_path / "a.tar.gz", (tarfile.TarInfo(name), b"evil")), [name], folder)  # even when it is asked for
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "a.tar.gz",
        "folder",
        "folder/evil",
        "outside",
    ]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_an_archive_is_not_followed(tmp_path: Path, kind: bytes) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    to_folder = archive(tmp_path / "a.tar.gz", (link("set", str(outside), kind), b""), (tarfile.TarInfo("set/one"), b"1"))
    unpack(to_folder, ["set/one"], folder)
    to_file = archive(tmp_path / "b.tar.gz", (link("set/two", str(outside / "secret"), kind), b""))
    with pytest.raises(DataError, match=r"\['two'\] are not in it"):
        unpack(to_file, ["set/two"], folder)
    assert [file.name for file in folder.iterdir()] == ["one"]
    assert [file.name for file in outside.iterdir()] == ["secret"]


@pytest.mark.parametrize("kept", [0, 1, 50, 50_000])
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, kept: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    noise = hashlib.shake_128(b"").digest(100_000)  # gzip cannot make it smaller
    source = archive(tmp_path / "a.tar.gz", (tarfile.TarInfo("set/one"), noise))
    source.write_bytes(source.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"a\.tar\.gz' "):
        unpack(source, ["set/one"], folder)
    assert list(folder.iterdir()) == []
