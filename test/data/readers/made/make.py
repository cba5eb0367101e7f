"""Makes the files beside it, with scipy 1.17.1 (MATLAB) and pyarrow 26.0.1 (parquet): python make.py"""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.io import savemat

HERE = Path(__file__).parent


def cell(texts):
    return np.array([[text] for text in texts], dtype=object)


def annotations(rows, names):
    kinds = [(name, object) for name in names]
    return np.array([tuple(row) for row in rows], dtype=kinds).reshape(1, -1)


# Stanford Cars: structs, numbers of several widths, a name with an accent; compressed and not.
savemat(HERE / "cars_meta.mat", {"class_names": cell(["AM General Hummer SUV 2000", "Citroën C3 Hatchback 2010"]).T})
TRAIN = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
savemat(
    HERE / "cars_train_annos.mat",
    {
        "annotations": annotations(
            [(39, 116, 569, 375, 2, "00001.jpg"), (36, 116, 868, 587, 1, "00002.jpg")], TRAIN
        )
    },
    do_compression=True,
)
savemat(
    HERE / "cars_test_annos_withlabels.mat",
    {"annotations": annotations([(30, 52, 246, 147, 1, "00001.jpg")], TRAIN)},
)

# Stanford Dogs: columns of cells.
for split, files in {
    "train": ["n02085620-Chihuahua/n02085620_5927.jpg"],
    "test": ["n02085620-Chihuahua/n02085620_2650.jpg", "n02107574-Greater_Swiss_Mountain_dog/n02107574_1.jpg"],
}.items():
    savemat(
        HERE / f"{split}_list.mat",
        {"file_list": cell(files), "labels": np.arange(1, len(files) + 1, dtype=np.uint8).reshape(-1, 1)},
    )

# Flowers-102: rows of bytes and of wider numbers. The numbers of classes are those of its 102 names.
savemat(HERE / "imagelabels.mat", {"labels": np.array([[77, 1, 102, 1]], dtype=np.uint8)}, do_compression=True)
savemat(
    HERE / "setid.mat",
    {
        "trnid": np.array([[2]], dtype=np.uint16),
        "valid": np.array([[3]], dtype=np.float64),
        "tstid": np.array([[1, 4]], dtype=np.int32),
    },
)

# Triplets as the hub's datasets have them.
buffer = io.BytesIO()
Image.new("RGB", (8, 6), (10, 200, 30)).save(buffer, "PNG")
PICTURE = {"bytes": buffer.getvalue(), "path": None}
BY_PATH = {"bytes": None, "path": "b.jpg"}
struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
texts = {"problem": ["<image>Which bird?"] * 3, "answer": ["Ovenbird", "Gadwall", "Mallard"]}


def table(anchors, anchor_type):
    columns = {
        "images": pa.array(anchors, anchor_type),
        **{name: pa.array(values) for name, values in texts.items()},
        "image_noisy": pa.array([PICTURE, BY_PATH, PICTURE], struct),
        "image_aug": pa.array([BY_PATH] * 3, struct),
    }
    return pa.table(columns)


pq.write_table(table([[PICTURE]] * 3, pa.list_(struct)), HERE / "list-zstd.parquet", compression="zstd", row_group_size=2)
pq.write_table(table([PICTURE, BY_PATH, PICTURE], struct), HERE / "struct-snappy.parquet", compression="snappy")
