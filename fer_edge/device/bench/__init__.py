"""``fer-edge bench``: how long an inference and a frame take here, and how that is known.

Single stream in the sense of MLPerf (``rule``), of one model or of several that take turns
(``stream``), alone and inside the pipeline (``subjects``), with what the machine's sensors said
(``sensors``), as one JSON document that can be compared with another.
"""
