"""Open a bundle as a device does and replay its golden set; print what came of it as JSON.

prove.py BUNDLE
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

from fer_edge.bundle import INT8_TFLITE, open_bundle, verify_golden
from fer_edge.device.classifier import open_classifier
from fer_edge.runtime import load_model

path = Path(sys.argv[1])
classifier = open_classifier(path)
bundle = open_bundle(path)
reference = load_model(bundle.read(INT8_TFLITE), reference_kernels=True)
print(
    json.dumps(
        {
            "machine": platform.machine(),
            "verified": classifier.verified,
            "runtime": classifier.model.runtime,
            "fast": verify_golden(bundle, classifier.model),
            "reference": verify_golden(bundle, reference),
            "imported": sorted({name.partition(".")[0] for name in sys.modules}),
        }
    )
)
