"""Files are written as a whole, through links, and nothing but regular files is replaced."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from bdnn import BDNNClassifier, Network, files, report, save_certificate
from bdnn.errors import InputError, OutputError
from bdnn.model_file import Model, load_model, save_model
from certificates import made

posix = pytest.mark.skipif(os.name != "posix", reason="pipes, sockets and permissions are those of POSIX")
NETWORK = Network([([[1.0, -0.5]], [0.25])], head="threshold", classes=["no", "yes"])
XOR = ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["a", "b", "b", "a"])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "runs").mkdir()
    target, link = tmp_path / "runs" / "1.json", tmp_path / "latest.json"
    link.symlink_to(Path("runs") / "1.json")
    for contents in (b"old", b"new"):  # the first time the link leads to nothing
        files.write(link, contents)
        assert link.is_symlink() and target.read_bytes() == contents
    assert (names(tmp_path), names(tmp_path / "runs")) == (["latest.json", "runs"], ["1.json"])


@posix
def test_what_is_no_regular_file_is_refused_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
        (tmp_path / "folder").mkdir()
        (tmp_path / "to a device").symlink_to(os.devnull)
        before = {name: os.lstat(tmp_path / name) for name in names(tmp_path)}
        kinds = {"pipe": "a named pipe", "socket": "a socket", "folder": "a folder", "to a device": "a device"}
        for name, kind in kinds.items():
            with pytest.raises(OutputError, match=f"cannot write {tmp_path / name}: that is {kind}"):
                files.write(tmp_path / name, b"contents")
        # as the administrator, who could replace the device
        with pytest.raises(OutputError, match=f"cannot write {os.devnull}: that is a device, and only regular files"):
            files.write(os.devnull, b"contents")
        assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
        assert {name: os.lstat(tmp_path / name) for name in names(tmp_path)} == before


@posix
def test_a_read_only_file_is_refused_also_to_the_administrator(tmp_path):
    path = tmp_path / "m.json"
    path.write_bytes(b"precious")
    path.chmod(0o444)
    with pytest.raises(OutputError, match=r"m\.json: that file is read-only; make it writable"):
        files.write(path, b"contents")
    assert path.read_bytes() == b"precious" and names(tmp_path) == ["m.json"]


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_a_replaced_file_passes_on_its_permissions(tmp_path, mode):
    path = tmp_path / "m.json"
    path.write_bytes(b"old")
    path.chmod(mode)
    files.write(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("name", ["results/", "results/.", "..", ".", ""])
def test_the_name_of_a_folder_is_no_name_of_a_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"folder; give the name of a file in it|name of the file is empty"):
        BDNNClassifier((2,), random_state=0).fit(*XOR).save(name)
    assert names(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*model\.json: .*no is not a writable folder"):
        save_model(tmp_path / "no" / "model.json", Model(NETWORK))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"cannot write .*model.json: (Not a directory|.*not a writable folder)"):
        save_model(tmp_path / "file" / "model.json", Model(NETWORK))


def test_long_names_and_names_in_other_scripts(tmp_path):
    for name in ("m" * 250 + ".json", "猫" * 80 + ".json", "😀" * 60 + ".json"):
        save_model(tmp_path / name, Model(NETWORK))
        assert load_model(tmp_path / name) == Model(NETWORK)


def writers(tmp_path):
    """Every function of the package that writes a file, by the name of the file."""
    clf = BDNNClassifier((2,), random_state=0).fit(*XOR)
    document = made(*XOR, None, 1)
    return {
        "model.json": clf.save,
        "certificate.json": lambda path: save_certificate(document, path),
        "certificate.json.gz": lambda path: save_certificate(document, path),
        "card.html": lambda path: report(clf, *XOR, path, points=0),
    }


def test_a_full_disk_leaves_the_old_file_and_names_the_path_that_was_given(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path / "there"))
    for name, save in writers(tmp_path).items():
        path = tmp_path / name
        path.write_bytes(b"old")

        def full(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(files.os, "fsync", full)
            with pytest.raises(OutputError, match=f"^cannot write {path}: No space left on device") as caught:
                save(path)
        assert caught.value.errno == errno.ENOSPC and ".part" not in str(caught.value)
        assert path.read_bytes() == b"old"
        save(path)
        assert path.read_bytes() != b"old"
    assert names(tmp_path) == sorted([*writers(tmp_path), "there"])


def test_an_output_that_is_an_input_or_another_output_is_refused(tmp_path):
    data, other = tmp_path / "data.csv", tmp_path / "other.csv"
    data.write_text("a,b\n")
    links = [tmp_path / "symbolic", tmp_path / "hard", tmp_path / "." / "data.csv"]
    links[0].symlink_to(data)
    os.link(data, links[1])
    for path in (data, *links):
        with pytest.raises(InputError, match=r"--out and DATA must be different files: .* is read, and"):
            files.check_outputs({"--out": path}, {"DATA": data, "--start": None})
        with pytest.raises(InputError, match="--out and --certificate must be different files"):
            files.check_outputs({"--out": path, "--certificate": data})
    for twin in (other, tmp_path / "x" / ".." / "other.csv"):  # which does not exist yet
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(InputError, match="--out and --certificate must be different files"):
            files.check_outputs({"--out": other, "--certificate": twin})
    files.check_outputs({"--out": other, "--certificate": tmp_path / "c.json", "--checkpoint": None}, {"DATA": data})


def test_what_cannot_be_written_is_rescued(tmp_path, monkeypatch):
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(spare))

    def save(path):
        if path.parent != spare:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        path.write_bytes(b"network")

    with pytest.raises(OutputError, match=f"Disk quota exceeded; the network is in {spare}/rescued-.*m.json instead"):
        files.write_or_rescue("network", tmp_path / "m.json", save)
    (rescued,) = spare.iterdir()
    assert rescued.read_bytes() == b"network" and rescued.name.endswith("-m.json")

    def fail(path):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with pytest.raises(OutputError, match=f"the network is lost: neither {tmp_path} nor {spare} accepts a file"):
        files.write_or_rescue("network", tmp_path / "m.json", fail)
    assert names(tmp_path) == ["spare"]


@posix
def test_no_temporary_file_stays_where_only_owners_may_remove_files(tmp_path, monkeypatch):
    path, owner, unlink = tmp_path / "m.json", {}, os.unlink
    path.write_bytes(b"old")
    path.chmod(0o666)

    def stat_of_another(name, *more, **settings):
        found = real(name, *more, **settings)
        return os.stat_result((*found[:4], 4711, *found[5:10])) if str(name) == str(path) else found

    def owned(name):
        if owner.get(name) == 4711:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(name)

    def refused(*names):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    real = os.stat
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "stat", stat_of_another)
        patch.setattr(files.os, "chown", lambda name, user, group: owner.update({name: user}))
        patch.setattr(files.os, "unlink", owned)
        patch.setattr(files.os, "replace", refused)
        with pytest.raises(OutputError, match="Operation not permitted"):
            files.write(path, b"new")
    assert list(owner.values()) == [os.geteuid()]
    assert path.read_bytes() == b"old" and names(tmp_path) == ["m.json"]
