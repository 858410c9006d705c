"""What is taken for an array: DLPack and the buffer protocol, in place."""

import array
import ctypes

import numpy as np
import pytest

import nablas

MLP = nablas.Mlp([4, 3], "tanh")
PLAN = MLP.plan(6)
RNG = np.random.default_rng(0)
PARAMS = RNG.standard_normal(MLP.param_len).astype("float32")
X = RNG.standard_normal((6, 4)).astype("float32")
Y = PLAN.forward(PARAMS, X)


class Elsewhere:
    """An array of another library: it speaks DLPack, and nothing else."""

    def __init__(self, inner):
        self.inner = inner

    def __dlpack__(self, **keywords):
        return self.inner.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.inner.__dlpack_device__()


class OnDevice:
    """An array in a GPU's memory, as DLPack describes it; nobody may read it."""

    class Tensor(ctypes.Structure):
        _fields_ = [
            ("data", ctypes.c_void_p),
            ("device", ctypes.c_int32 * 2),
            ("ndim", ctypes.c_int32),
            ("dtype", ctypes.c_uint8 * 4),
            ("shape", ctypes.c_void_p),
            ("strides", ctypes.c_void_p),
            ("offset", ctypes.c_uint64),
            ("context", ctypes.c_void_p),
            ("deleter", ctypes.c_void_p),
        ]

    def __init__(self):
        self.shape = (ctypes.c_int64 * 2)(6, 4)
        self.tensor = self.Tensor(16, (2, 0), 2, (2, 32, 1, 0), ctypes.addressof(self.shape))

    def __dlpack__(self, **_):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self.tensor), b"dltensor", None)

    def __dlpack_device__(self):
        return (2, 0)


def test_dlpack():
    room = np.zeros((6, 8), "float32")
    room[:, ::2] = X
    assert (PLAN.forward(Elsewhere(PARAMS), Elsewhere(room[:, ::2])) == Y).all()


def test_other_devices_are_refused():
    with pytest.raises(TypeError, match="x: expected an array that NumPy can read in place: Unsupported device"):
        PLAN.forward(PARAMS, OnDevice())


def test_the_buffer_protocol():
    params, x = array.array("f", PARAMS), memoryview(X)
    assert (PLAN.forward(params, x) == Y).all()
    out = array.array("f", bytes(4 * 18))
    view = memoryview(out).cast("B").cast("f", (6, 3))
    PLAN.forward(params, x, out=view)
    assert out.tolist() == Y.ravel().tolist()
    with pytest.raises(ValueError, match="out: expected a writable array"):
        PLAN.forward(params, x, out=memoryview(bytes(4 * 18)).cast("f", (6, 3)))


def test_parameters_in_a_buffer_are_stepped_in_place():
    params, target = array.array("f", PARAMS), np.zeros((6, 3), "float32")
    expected = PARAMS.copy()
    PLAN.train_step(expected, X, "mse", target, nablas.Sgd(MLP, 0.1))
    PLAN.train_step(params, X, "mse", target, nablas.Sgd(MLP, 0.1))
    assert params.tolist() == expected.tolist() and params.tolist() != PARAMS.tolist()


def test_subclasses_are_arrays():
    class Own(np.ndarray):
        pass

    assert (PLAN.forward(PARAMS.view(Own), X.view(Own)) == Y).all()


def test_read_only_inputs_are_taken():
    x = X.copy()
    x.flags.writeable = False
    assert (PLAN.forward(PARAMS, x) == Y).all()
    assert (PLAN.forward(PARAMS, np.broadcast_to(X[:1], (6, 4))) == Y[:1]).all()
