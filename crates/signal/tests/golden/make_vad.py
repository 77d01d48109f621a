"""Golden values of Kaldi's energy rule, by Kaldi itself: kaldi-active-grammar carries its library.

Run it in a virtual environment:  pip install --no-deps kaldi-active-grammar==3.2.0
                                  pip install numpy
                                  python make_vad.py > vad.txt
The energies are made of integers, so that the test in Rust makes the same ones. What Kaldi says is
checked against its definition.
"""

import ctypes
import importlib.util
import pathlib

import numpy

F, I = ctypes.c_float, ctypes.c_int32
NAMES = (
    "vad-energy-threshold vad-energy-mean-scale vad-frames-context vad-proportion-threshold"
).split()
DEFAULTS = (5.0, 0.5, 0, 0.6)
CASES = {
    "default": {},
    "context": {"vad-frames-context": 3},
    "fixed threshold": {"vad-energy-mean-scale": 0.0, "vad-energy-threshold": 11.0},
    "low share": {"vad-frames-context": 7, "vad-proportion-threshold": 0.12},
    "high share": {"vad-frames-context": 5, "vad-proportion-threshold": 0.9},
}


class Options(ctypes.Structure):
    _fields_ = list(zip(NAMES, [F, F, I, F]))


class Vector(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(F)), ("dim", I)]


class Matrix(ctypes.Structure):
    _fields_ = [("data", ctypes.POINTER(F)), ("cols", I), ("rows", I), ("stride", I)]


package = pathlib.Path(importlib.util.find_spec("kaldi_active_grammar").origin).parent
folder = package.parent / "kaldi_active_grammar.libs"
# The program's own library knows where the others lie; once it is loaded, they are found.
ctypes.CDLL(str(package / "exec" / "linux" / "libkaldi-dragonfly.so"))
KALDI = ctypes.CDLL(str(next(folder.glob("libkaldi-ivector-*"))))
COMPUTE = KALDI._ZN5kaldi16ComputeVadEnergyERKNS_16VadEnergyOptionsERKNS_10MatrixBaseIfEEPNS_6VectorIfEE


def energies():
    """Loud and quiet stretches with single frames out of place."""
    values = []
    for t in range(160):
        level = 16 if (t // 23) % 2 else 8
        values.append(level + ((t * t * 7 + t * 13) % 64 - 32) / 8)
    return values


def by_kaldi(values, options):
    column = numpy.ascontiguousarray(values, numpy.float32)
    matrix = Matrix(column.ctypes.data_as(ctypes.POINTER(F)), 1, len(column), 1)
    out = Vector()
    COMPUTE(ctypes.byref(Options(*options)), ctypes.byref(matrix), ctypes.byref(out))
    return [int(out.data[t]) for t in range(out.dim)]


def by_definition(values, options):
    threshold, scale, context, share = options
    threshold += scale * float(numpy.mean(values))
    voiced = []
    for t in range(len(values)):
        window = values[max(0, t - context) : t + context + 1]
        voiced.append(int(sum(v > threshold for v in window) >= len(window) * share))
    return voiced


print("# Made by make_vad.py: Kaldi as compiled into kaldi-active-grammar 3.2.0")
for name, changed in CASES.items():
    options = [changed.get(option, default) for option, default in zip(NAMES, DEFAULTS)]
    said = by_kaldi(energies(), options)
    assert said == by_definition(energies(), options), name
    print("case", name)
    for option, value in changed.items():
        print("option", option, "=", value)
    print("frames", "".join(map(str, said)))
