//! Options of a call, and the numbers that stand for names.

use crate::{
    elem::Elem,
    status::{Result, fail, nablas_status as Status},
    team::nablas_team,
    threads,
};
use nablas::{Activation, Error, Init, IsaToken, Loss, LossKind, PathKind, Reduction, Team};
use std::{ffi::CStr, ptr};

/// Options of a call or plan; NULL stands for the defaults. Start from `NABLAS_OPTIONS_INIT`.
///
/// Later versions add fields at the end. Those that a program does not know have their defaults; those that the library
/// does not know must be zero.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct nablas_options {
    /// `sizeof(nablas_options)` of the program: which fields it knows.
    pub size: usize,
    /// Threads at most, the calling one alone if 1, and never more than the team has; 0 for as many as `team` has, or else
    /// `nablas_get_num_threads()`. Results are the same to the bit.
    pub threads: usize,
    /// One of `nablas_isa`. Results are the same to the bit.
    pub isa: i32,
    /// Whose threads; NULL for the team of the process, made at the first call that wants it, of as many threads as
    /// `NABLAS_NUM_THREADS` says or the processors are. A plan keeps the team it was made with, destroyed or not.
    pub team: *const nablas_team,
}

// SAFETY: numbers, and the address of a team, which any thread may use.
unsafe impl Send for nablas_options {}
// SAFETY: as for Send.
unsafe impl Sync for nablas_options {}

/// Instruction sets.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum nablas_isa {
    /// What `NABLAS_ISA` pins, or else the widest of this machine.
    Default = 0,
    /// Plain code.
    Scalar = 1,
    /// Arm, 128 bits.
    Neon = 2,
    /// x86-64-v3, 256 bits.
    Avx2 = 3,
    /// x86-64-v4, 512 bits.
    Avx512 = 4,
}

/// Activations. Those with a parameter say which; the others ignore it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum nablas_activation {
    /// z
    Identity = 0,
    /// max(z, 0); g'(0) = 0
    Relu = 1,
    /// z for z > 0, α·z otherwise; parameter α
    LeakyRelu = 2,
    /// min(max(z, 0), c); parameter c > 0
    ClippedRelu = 3,
    /// z for z > 0, α·(eᶻ − 1) otherwise; parameter α
    Elu = 4,
    /// λ·ELU(α) with the constants of Klambauer et al. 2017
    Selu = 5,
    /// 1/(1 + e⁻ᶻ)
    Sigmoid = 6,
    /// tanh z
    Tanh = 7,
    /// ln(1 + eᶻ)
    Softplus = 8,
    /// z·sigmoid(z)
    Silu = 9,
    /// z·Φ(z), by erf
    Gelu = 10,
    /// ½z·(1 + tanh(√(2/π)·(z + 0.044715·z³)))
    GeluTanh = 11,
    /// z·tanh(softplus z)
    Mish = 12,
    /// z·min(max(z + 3, 0), 6)/6
    HardSwish = 13,
    /// eᶻ
    Exp = 14,
    /// sin(ω·z); parameter ω
    Sin = 15,
    /// z/(1 + |z|)
    Softsign = 16,
}

/// What an activation saves in a forward call for the backward calls.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum nablas_saved {
    /// Nothing.
    Nothing = 0,
    /// One bit an element: `nablas_mask_bytes(rows, columns)` bytes.
    Mask = 1,
    /// The derivative, a matrix as large as the output.
    Derivative = 2,
    /// Nothing besides the output, which the backward call reads.
    Output = 3,
}

/// Losses, of outputs y and targets t.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum nablas_loss {
    /// (y − t)²
    Mse = 0,
    /// |y − t|
    L1 = 1,
    /// ½r² for |r| ≤ δ, δ·(|r| − ½δ) beyond, r = y − t; parameter δ > 0
    Huber = 2,
    /// Binary cross-entropy of logits y, t in [0, 1]
    BceWithLogits = 3,
    /// −Σ t·ln softmax(y), a row: t are probabilities or a class
    SoftmaxCrossEntropy = 4,
}

/// How the losses of the elements or rows become one.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum nablas_reduction {
    /// Their sum.
    Sum = 0,
    /// Their mean: over all elements, or for the softmax cross-entropy over the rows.
    Mean = 1,
}

/// How a plan computes its network.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum nablas_path {
    /// Tiles of the batch go through all layers while they are in cache.
    Fused = 0,
    /// The same with samples in the lanes of vectors.
    Narrow = 1,
    /// One layer at a time over the whole batch.
    Layered = 2,
}

/// Initial parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum nablas_init {
    /// He et al. 2015, normal.
    HeNormal = 0,
    /// He et al. 2015, uniform.
    HeUniform = 1,
    /// Glorot, Bengio 2010, normal.
    XavierNormal = 2,
    /// Glorot, Bengio 2010, uniform.
    XavierUniform = 3,
    /// Sitzmann et al. 2020; parameter ω, that of the activation.
    Siren = 4,
    /// Saxe et al. 2014; parameter the gain, 1 unless an activation asks for another.
    Orthogonal = 5,
}

/// Whether a matrix is transposed.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub enum nablas_transpose {
    /// As it is.
    No = 0,
    /// Transposed.
    Yes = 1,
}

/// What a call runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    pub(crate) isa: IsaToken,
    pub(crate) threads: usize,
    /// The process', if none.
    pub(crate) team: Option<&'a Team>,
}

/// A number that names nothing.
fn unknown<T>(what: &str, got: i32) -> Result<T> {
    fail(Status::Unknown, format_args!("{what}: {got} is none of its constants"))
}

/// The name of an instruction set, none for the default.
pub(crate) fn isa_name(isa: i32) -> Result<Option<&'static str>> {
    Ok(match isa {
        i if i == nablas_isa::Default as i32 => None,
        i if i == nablas_isa::Scalar as i32 => Some("scalar"),
        i if i == nablas_isa::Neon as i32 => Some("neon"),
        i if i == nablas_isa::Avx2 as i32 => Some("avx2"),
        i if i == nablas_isa::Avx512 as i32 => Some("avx512"),
        _ => return unknown("nablas_isa", isa),
    })
}

/// The size of the first version's options: two words, and a number that fills a third.
const FIRST_SIZE: usize = 3 * size_of::<usize>();
/// Options beyond this size are none: the size is not one, or was never set.
const MAX_SIZE: usize = 4096;

/// Options as this version knows them: the defaults where the caller's are of an earlier one.
///
/// # Safety
/// `options` is NULL or points to options of any version, of which nothing but the size is read before it is known.
unsafe fn known(options: *const nablas_options) -> Result<nablas_options> {
    const OURS: usize = size_of::<nablas_options>();
    let mut known =
        nablas_options { size: OURS, threads: 0, isa: nablas_isa::Default as i32, team: ptr::null() };
    if options.is_null() {
        return Ok(known);
    }
    if !options.is_aligned() {
        return fail(Status::Alignment, "the options: a misaligned address");
    }
    // SAFETY: the caller's promise: every version starts with the size.
    let size = unsafe { (&raw const (*options).size).read() };
    // Every version's is whole words: half of a field is none.
    if !(FIRST_SIZE..=MAX_SIZE).contains(&size) || !size.is_multiple_of(size_of::<usize>()) {
        return fail(
            Status::Parameter,
            format_args!("the options' size: expected sizeof(nablas_options), got {size}"),
        );
    }
    let bytes = options.cast::<u8>();
    // SAFETY: the caller's promise: there are `size` bytes.
    if (OURS..size).any(|i| unsafe { bytes.add(i).read() } != 0) {
        return fail(
            Status::Parameter,
            format_args!("the options: a field set that nablas {} does not know", env!("CARGO_PKG_VERSION")),
        );
    }
    // SAFETY: both have as many bytes, and any bytes are options; an address is looked at by `setup` alone.
    unsafe { bytes.copy_to_nonoverlapping((&raw mut known).cast(), size.min(OURS)) };
    Ok(known)
}

/// What options ask for.
///
/// # Safety
/// `options` is NULL or points to options, whose team is NULL or one that is not destroyed during `'a`.
pub(crate) unsafe fn setup<'a>(options: *const nablas_options) -> Result<Setup<'a>> {
    // SAFETY: the caller's promise.
    let nablas_options { threads, isa, team, .. } = unsafe { known(options)? };
    let isa = match isa_name(isa)? {
        Some(name) => IsaToken::pin(name).map_err(Error::from)?,
        None => nablas::isa()?,
    };
    if !team.is_aligned() {
        return fail(Status::Alignment, "the options' team: a misaligned address");
    }
    // SAFETY: the caller's promise.
    let team = unsafe { team.as_ref() }.map(|team| &team.0);
    let threads = match (threads, team) {
        (0, Some(team)) => team.threads(),
        (0, None) => threads::default()?,
        _ => threads::check(threads)?,
    };
    Ok(Setup { isa, threads, team })
}

/// An activation by number and parameter.
pub(crate) fn activation<T: Elem>(kind: i32, p: T) -> Result<Activation<T>> {
    let found = usize::try_from(kind).ok().and_then(|i| Activation::all().get(i).copied());
    found.map_or_else(|| unknown("nablas_activation", kind), |act: Activation<T>| Ok(act.map(|_| p)))
}

/// The parameter that an activation has if none is given.
pub(crate) fn usual_parameter(kind: i32) -> f64 {
    let found = usize::try_from(kind).ok().and_then(|i| Activation::all().get(i).copied());
    found.and_then(Activation::parameter).unwrap_or(1.0)
}

/// A loss by numbers.
pub(crate) fn loss<T: Elem>(kind: i32, parameter: T, reduction: i32) -> Result<Loss<T>> {
    let all = [
        LossKind::Mse,
        LossKind::L1,
        LossKind::Huber(parameter),
        LossKind::BceWithLogits,
        LossKind::SoftmaxCrossEntropy,
    ];
    let found = usize::try_from(kind).ok().and_then(|i| all.get(i)).copied();
    let kind = found.map_or_else(|| unknown("nablas_loss", kind), Ok)?;
    let reduction = match reduction {
        r if r == nablas_reduction::Sum as i32 => Reduction::Sum,
        r if r == nablas_reduction::Mean as i32 => Reduction::Mean,
        _ => return unknown("nablas_reduction", reduction),
    };
    Ok(Loss::new(kind, reduction))
}

/// The number of a path.
pub(crate) fn path(path: PathKind) -> Result<nablas_path> {
    match path {
        PathKind::Fused => Ok(nablas_path::Fused),
        PathKind::Narrow => Ok(nablas_path::Narrow),
        PathKind::Layered => Ok(nablas_path::Layered),
        _ => fail(Status::Internal, format_args!("the path {path} has no number")),
    }
}

/// The name of a path, by number.
pub(crate) fn path_name(path: i32) -> Option<&'static CStr> {
    match path {
        p if p == nablas_path::Fused as i32 => Some(c"fused"),
        p if p == nablas_path::Narrow as i32 => Some(c"narrow"),
        p if p == nablas_path::Layered as i32 => Some(c"layered"),
        _ => None,
    }
}

/// An initialiser by number.
pub(crate) fn init(kind: i32, omega: f64) -> Result<Init> {
    let all = [
        Init::HeNormal,
        Init::HeUniform,
        Init::XavierNormal,
        Init::XavierUniform,
        Init::Siren { omega },
        Init::Orthogonal { gain: omega },
    ];
    let found = usize::try_from(kind).ok().and_then(|i| all.into_iter().nth(i));
    found.map_or_else(|| unknown("nablas_init", kind), Ok)
}

/// Whether a matrix is transposed, by number.
pub(crate) fn transposed(transpose: i32) -> Result<bool> {
    match transpose {
        t if t == nablas_transpose::No as i32 => Ok(false),
        t if t == nablas_transpose::Yes as i32 => Ok(true),
        _ => unknown("nablas_transpose", transpose),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arrays above are indexed by the constants.
    #[test]
    fn constants_name_what_they_say() {
        let name = |kind: nablas_activation| {
            activation(kind as i32, 1.0f32).map(|a| a.name().to_owned()).unwrap_or_default()
        };
        use nablas_activation as A;
        let kinds = [
            (A::Identity, "identity"),
            (A::Relu, "relu"),
            (A::LeakyRelu, "leaky_relu"),
            (A::ClippedRelu, "clipped_relu"),
            (A::Elu, "elu"),
            (A::Selu, "selu"),
            (A::Sigmoid, "sigmoid"),
            (A::Tanh, "tanh"),
            (A::Softplus, "softplus"),
            (A::Silu, "silu"),
            (A::Gelu, "gelu"),
            (A::GeluTanh, "gelu_tanh"),
            (A::Mish, "mish"),
            (A::HardSwish, "hard_swish"),
            (A::Exp, "exp"),
            (A::Sin, "sin"),
            (A::Softsign, "softsign"),
        ];
        for (kind, expected) in kinds {
            assert_eq!(name(kind), expected);
            let usual: Activation<f64> = expected.parse().unwrap();
            assert_eq!(usual.parameter().unwrap_or(1.0), usual_parameter(kind as i32), "{expected}");
        }
        use nablas_loss as L;
        let losses = [
            (L::Mse, "mse"),
            (L::L1, "l1"),
            (L::Huber, "huber"),
            (L::BceWithLogits, "bce_with_logits"),
            (L::SoftmaxCrossEntropy, "softmax_cross_entropy"),
        ];
        for (kind, expected) in losses {
            assert_eq!(loss(kind as i32, 1.0f64, 0).map(|l| l.kind.name()).unwrap_or_default(), expected);
        }
        assert_eq!(kinds.len(), Activation::<f32>::COUNT, "an activation has no number in C");
        assert!(activation(kinds.len() as i32, 1.0f32).is_err() && activation(-1, 1.0f32).is_err());
        assert!(loss(5, 1.0f32, 0).is_err() && loss(0, 1.0f32, 2).is_err());
        for kind in [PathKind::Fused, PathKind::Narrow, PathKind::Layered] {
            let name = path(kind).ok().and_then(|path| path_name(path as i32));
            assert_eq!(name.map(CStr::to_bytes), Some(kind.name().as_bytes()));
        }
        assert!(path_name(3).is_none() && path_name(-1).is_none());
        assert!(matches!(init(nablas_init::XavierUniform as i32, 1.0), Ok(Init::XavierUniform)));
        assert!(matches!(init(nablas_init::Siren as i32, 2.0), Ok(Init::Siren { omega: 2.0 })));
        assert!(matches!(init(nablas_init::Orthogonal as i32, 2.0), Ok(Init::Orthogonal { gain: 2.0 })));
    }
}
