import pytest

from kdtune.catalog.component_digest import change_since, component_digest, is_component_digest

A, B = "0123456789abcdef", "fedcba9876543210"


def test_the_text_of_a_frozen_study_is_recognised():
    assert component_digest(A + "0" * 48, ["a.b==1.0+cpu", "c==2!3rc1"]) == f"{A} a.b==1.0+cpu c==2!3rc1"
    for text in (A, "torchvision==0.26.0", f"{A} a.b==1.0+cpu c==2!3rc1"):
        assert is_component_digest(text)
    for value in (3, "", "0123", f"{A} ", f"{A} torchvision", f"{A}  a==1", f"a==1 {A}"):
        assert not is_component_digest(value)


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        (A, A, None),
        (A, f"{A} numpy==2.3.0", None),  # earlier releases recorded no versions
        (A, f"{B} numpy==2.3.0", "has been edited since the study began; restore the earlier source, or begin"),
        (A, B, "has been edited since the study began; restore the earlier source, or begin the study anew"),
        (
            f"{A} a==1 b==1 c==1",
            f"{A} a==1 b==2 d==1",
            "uses other versions of packages: b 1 when the study began, 2 now, and c 1 when the study began, not "
            "installed now, and d, not installed when the study began, 1 now; install the earlier versions, or begin",
        ),
        (
            f"{A} a==1",
            f"{B} a==2",
            "has been edited since the study began and uses other versions of packages: a 1 when the study began, "
            "2 now; restore the earlier source and install the earlier version, or begin",
        ),
        ("torchvision==0.26.0", "torchvision==0.27.0", "torchvision 0.26.0 when the study began, 0.27.0 now; install"),
    ],
)
def test_changes_are_described_with_the_remedy(before, now, change):
    found = change_since(before, now)
    assert found is change is None or change in found
