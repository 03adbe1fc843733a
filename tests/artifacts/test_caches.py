import pytest

from kdtune.artifacts.caches import cached, remove
from kdtune.errors import KdtuneError
from kdtune.storage.files import TRAINING, exclusive_lock, in_use


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))
    for kind, name, count in (("teachers", "t1", 10_000), ("teacher-logits", "l1", 500_000), ("decoded", "d1", 100)):
        folder = tmp_path / kind / name
        folder.mkdir(parents=True)
        (folder / ".lock").touch()
        (folder / "content").write_bytes(b"x" * count)
    (tmp_path / "numerics").mkdir()
    (tmp_path / "numerics" / "n1.json").write_text("{}")
    return tmp_path


def names(found):
    return [one.path.name for one in found]


def test_the_largest_comes_first_and_every_kind_is_there(cache):
    found = cached()
    assert names(found)[:2] == ["l1", "t1"]
    assert set(names(found)) == {"l1", "t1", "d1", "n1.json"}
    assert found[0].bytes >= 500_000 > found[1].bytes >= 10_000
    assert all(one.age_days < 1 for one in found)


def test_one_kind_can_be_named(cache):
    assert names(cached(["teachers", "numerics"])) == ["t1", "n1.json"]


def test_only_the_given_items_are_removed(cache):
    assert remove(cached(["teacher-logits", "numerics"])) == []
    assert set(names(cached())) == {"t1", "d1"}


@pytest.mark.parametrize(
    "at_work",
    [exclusive_lock, lambda folder: exclusive_lock(folder, TRAINING), in_use],
    ids=["makes it", "trains on without its command", "uses it"],
)
def test_items_in_use_are_kept_until_their_process_ends(cache, at_work):
    folder = cache / "teachers" / "t1"
    with at_work(folder):
        assert remove(cached()) == [folder]
        assert names(cached()) == ["t1"] and (folder / "content").exists()
    assert remove(cached()) == [] and not folder.exists()


def test_shared_items_are_kept_until_the_last_process_ends(cache):
    folder = cache / "teacher-logits" / "l1"
    with in_use(folder):
        with in_use(folder), exclusive_lock(folder):  # users do not prevent other processes from making missing parts
            pass
        assert remove(cached(["teacher-logits"])) == [folder]
    assert remove(cached(["teacher-logits"])) == []


def test_an_empty_cache_has_no_items(monkeypatch, tmp_path):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "none"))
    assert cached() == [] and remove([]) == []


def test_removing_a_link_keeps_its_target(cache, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious").write_bytes(b"x" * 100_000)
    (cache / "teachers" / "link").symlink_to(outside)
    found = next(one for one in cached() if one.path.name == "link")
    assert found.bytes < 100_000
    assert remove([found]) == []
    assert not found.path.is_symlink() and (outside / "precious").exists()


def test_nothing_behind_a_symbolic_link_is_removed(cache, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious").touch()
    (cache / "inspections").symlink_to(outside)
    with pytest.raises(KdtuneError, match=r"inspections: is a symbolic link.* nothing was removed"):
        remove(cached())
    assert (outside / "precious").exists() and (cache / "decoded" / "d1").exists()


def test_a_lock_that_is_a_link_is_not_opened(cache, tmp_path):
    (cache / "teachers" / "t1" / ".lock").unlink()
    (cache / "teachers" / "t1" / ".lock").symlink_to(cache / "numerics" / "n1.json")
    with pytest.raises(KdtuneError, match=r"\.lock: cannot be removed .*symbolic link"):
        remove(cached(["teachers"]))
