"""The built-in data sets; nothing of them is imported before it is used."""

from kdtune.catalog.catalog import Catalog

#: Facts: ``classes``; ``shape`` of an image; ``train_images`` and ``test_images`` as published (a subset made by the
#: user has fewer); ``annotations``, "boxes" where images have boxes in place of a class; ``download_mb``; ``by_hand``,
#: how a user gets a data set that is no archive; and ``files``, the files required in the data folder, with their MD5
#: if it is known. The target is a class that loads the data set: see :class:`kdtune.data.published.Published`.
DATASETS = Catalog("data set", "kdtune.datasets")
DATASETS.add(
    "digits",
    "kdtune.data.digits:Digits",
    "scikit-learn's 1,797 scanned digits, 8x8 grey, 10 classes; bundled, nothing to download",
    classes=10,
    shape=(1, 8, 8),
    train_images=800,
    test_images=997,
    download_mb=0,
    files={},
)
DATASETS.add(
    "cifar10",
    "kdtune.data.cifar:Cifar10",
    "photos of animals and vehicles, 32x32 in colour, 10 classes (Krizhevsky 2009)",
    classes=10,
    shape=(3, 32, 32),
    train_images=50_000,
    test_images=10_000,
    download_mb=170,
    files={
        "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
        "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
        "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        "cifar-10-batches-py/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)
DATASETS.add(
    "cifar100",
    "kdtune.data.cifar:Cifar100",
    "photos of 100 kinds of things, 32x32 in colour (Krizhevsky 2009)",
    classes=100,
    shape=(3, 32, 32),
    train_images=50_000,
    test_images=10_000,
    download_mb=169,
    files={
        "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
        "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "cifar-100-python/meta": "7973b15100ade9c7d40fb424638fde48",
    },
)
DATASETS.add(
    "fashion_mnist",
    "kdtune.data.fashion_mnist:FashionMnist",
    "articles of clothing, 28x28 grey, 10 classes (Xiao et al. 2017)",
    classes=10,
    shape=(1, 28, 28),
    train_images=60_000,
    test_images=10_000,
    download_mb=31,
    # MD5 of the unpacked files. Torchvision publishes those of the archives from which these were unpacked.
    files={
        "FashionMNIST/raw/train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "FashionMNIST/raw/train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "FashionMNIST/raw/t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "FashionMNIST/raw/t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
)
DATASETS.add(
    "tiny_imagenet",
    "kdtune.data.tiny_imagenet:TinyImageNet",
    "photos of 200 kinds of things, 64x64 in colour; its validation part is the test set (Stanford CS231n)",
    classes=200,
    shape=(3, 64, 64),
    train_images=100_000,
    test_images=10_000,
    download_mb=248,
    files={
        "tiny-imagenet-200/wnids.txt": None,
        "tiny-imagenet-200/words.txt": None,
        "tiny-imagenet-200/train": None,
        "tiny-imagenet-200/val/val_annotations.txt": None,
        "tiny-imagenet-200/val/images": None,
    },
)
DATASETS.add(
    "digits_on_canvases",
    "kdtune.tasks.detection.canvases:DigitsOnCanvases",
    "for detection: 1 to 4 of scikit-learn's digits on canvases of 64x64 grey, 10 classes; nothing to download",
    classes=10,
    shape=(1, 64, 64),
    train_images=1100,
    test_images=300,
    download_mb=0,
    files={},
    annotations="boxes",
)
DATASETS.add(
    "voc",
    "kdtune.tasks.detection.published_boxes:Voc0712",
    "for detection: photos of PASCAL VOC 2007 and 2012, tested on 2007, at 300x300 in colour, 20 classes",
    classes=20,
    shape=(3, 300, 300),
    train_images=16_551,
    test_images=4_952,
    download_mb=2_800,
    files={
        "VOCdevkit/VOC2007/ImageSets/Main/trainval.txt": None,
        "VOCdevkit/VOC2007/ImageSets/Main/test.txt": None,
        "VOCdevkit/VOC2012/ImageSets/Main/trainval.txt": None,
    },
    annotations="boxes",
)
DATASETS.add(
    "bccd",
    "kdtune.tasks.detection.published_boxes:Bccd",
    "for detection: blood cells under a microscope, at 128x128 in colour, 3 classes (BCCD)",
    classes=3,
    shape=(3, 128, 128),
    train_images=292,
    test_images=72,
    download_mb=0,
    by_hand="copy the folder BCCD of github.com/Shenggan/BCCD_Dataset into it",
    files={"BCCD/ImageSets/Main/trainval.txt": None, "BCCD/ImageSets/Main/test.txt": None},
    annotations="boxes",
)
DATASETS.add_scheme("folder", "kdtune.data.image_folder:FOLDERS", of_paths=True)
DATASETS.add_scheme("voc", "kdtune.tasks.detection.voc_folder:VOC_FOLDERS", of_paths=True)
DATASETS.add_scheme("coco", "kdtune.tasks.detection.coco_folder:COCO_FOLDERS", of_paths=True)
