"""What minisign 0.11 wrote: a key pair for these tests alone, and signatures of one message."""

MESSAGE = b"a bundle proves itself\n"

PUBLIC = (
    "untrusted comment: minisign public key EBAA5AD79DBA7618\n"
    "RWQYdrqd11qq6zUS6SxefS/yEty32K7jBerJCD8W6QOgEVqaHnuZzdLN\n"
)
SECRET = (
    "untrusted comment: minisign secret key\n"
    "RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGHa6nddaquvp6Nw+X4OAj+jTSqi5x+sIbi5fmlTEbe0MWMGSCSy83TUS6SxefS/yEty32K7jBerJCD8W6QOgEVqaHnuZzdLNAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
)
"""Without a password; it signs nothing but this message."""
SIGNED = (
    "untrusted comment: signature from minisign secret key\n"
    "RUQYdrqd11qq60aTgbBXvk6lYrzBIG66uSl2Y6/36vXVrvDNWACoiXFEfVF2Fnp396cdh9oqzVE1OEnMQJoWjQsiRKnplRbBtwo=\n"
    "trusted comment: timestamp:1795276344\tfile:m\thashed\n"
    "Hc+v2sfQ8xSA5M5hLcPQE0asinov+hnNZcu59OOIm02erhmiwRPwdBoUevRAg/MzO1GMnWWwslCORQdvclfmBQ==\n"
)
SIGNED_LEGACY = (
    "untrusted comment: signature from minisign secret key\n"
    "RWQYdrqd11qq6z18yEAbsX0Low4ZrOCDA31HtCecPnVo76uWUkTmUznESvGUm90gRLFSBbdqEelVHoJWD3nlw+4MEinyM6xamQ8=\n"
    "trusted comment: timestamp:1795276344\tfile:m\n"
    "m+RqHzrH7auErprTXiHYVHyBISJ3Cw1KnI+ogaaq98Fo0pZh3EGZZHUcqEnTcjUomGIaA8HqE/uwOADRBuvABw==\n"
)
"""By ``minisign -S -l``: the message itself is signed, not its hash."""
