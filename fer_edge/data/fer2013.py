"""FER2013's CSV."""
from __future__ import annotations
from pathlib import Path
import csv, io, tarfile
import numpy as np
from fer_edge.labels import LABELS
from fer_edge.data.dataset import Dataset


def load_fer2013(path: Path) -> Dataset:
    faces=[];targets=[];splits=[]
    with tarfile.open(path) as tar:
        for m in tar:
            if m.name.endswith("fer2013.csv"):
                f=tar.extractfile(m)
                f.readline()
                for line in f:
                    e,p,u=line.decode().strip().split(",")
                    faces.append(np.fromstring(p.strip('"'),dtype=np.uint8,sep=" "));targets.append(int(e));splits.append(u)
    return Dataset("fer2013",LABELS,np.stack(faces).reshape(-1,48,48),np.array(targets,np.uint8),np.array(splits))
