//! Which instruction set runs, and in which precision products take their operands: a value that the
//! caller passes to every kernel, no global state.
//!
//! A [`Cpu`] can only be made for an instruction set that this machine has. Holding one is therefore
//! the proof on which every call into a `#[target_feature]` function in this crate rests.
//!
//! Book: book/src/fast.md

use std::fmt;
use std::str::FromStr;

use crate::error::KernelError;

/// An instruction set that this crate has code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust: the baseline of the target, no fused multiply-add. Every machine has it.
    Portable,
    /// x86-64 with AVX2 and FMA: vectors of 256 bits.
    Avx2,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL: vectors of 512 bits.
    Avx512,
}

impl fmt::Display for Isa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        match name {
            "portable" => Ok(Isa::Portable),
            "avx2" => Ok(Isa::Avx2),
            "avx512" => Ok(Isa::Avx512),
            _ => Err(KernelError::IsaUnknown { name: name.to_owned() }),
        }
    }
}

/// The precision in which matrix products of f32 take their operands; sums are f32 in each.
///
/// With [`Precision::Bf16`] both operands of every matrix product (linear and recurrent layers,
/// convolutions, and their gradients) are rounded to bf16, 8 bits of significand, to the nearest, ties to
/// even, as they are packed. Weights, activations and gradients stay f32 in memory; depthwise
/// convolutions, normalisations, gates, sums for biases, losses and optimisers compute in f32 as ever, and
/// products of f64 in f64.
///
/// AVX-512 wants the CPU's own bf16 instructions (AVX512-BF16), which multiply and add at twice the
/// rate. The other instruction sets compute the same definition with f32 instructions, at no gain.
/// One difference is AVX512-BF16's own: it takes subnormal numbers, below 1.2e-38, for zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Operands as they are.
    #[default]
    F32,
    /// Operands rounded to bf16.
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<Self, KernelError> {
        match name {
            "f32" => Ok(Precision::F32),
            "bf16" => Ok(Precision::Bf16),
            _ => Err(KernelError::PrecisionUnknown { name: name.to_owned() }),
        }
    }
}

/// The code path of a kernel call. Results are the same bytes for the same `Cpu` value on every
/// machine that can make it; between instruction sets they differ in rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    isa: Isa,
    precision: Precision,
}

/// The instruction set, and the precision where it is not f32.
impl fmt::Display for Cpu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.precision {
            Precision::F32 => self.isa.fmt(formatter),
            Precision::Bf16 => write!(formatter, "{} in bf16", self.isa),
        }
    }
}

impl Cpu {
    /// The best instruction set that this CPU has, in f32.
    pub fn detect() -> Self {
        let best = Self::available().into_iter().max().unwrap_or(Isa::Portable);
        Self { isa: best, precision: Precision::F32 }
    }

    /// Forces an instruction set, in f32.
    ///
    /// # Errors
    /// [`KernelError::IsaUnavailable`] when this CPU lacks it.
    pub fn with(isa: Isa) -> Result<Self, KernelError> {
        if has(isa) {
            Ok(Self { isa, precision: Precision::F32 })
        } else {
            Err(KernelError::IsaUnavailable { asked: isa, available: Self::available() })
        }
    }

    /// The portable path in f32, which every machine has.
    pub const fn portable() -> Self {
        Self { isa: Isa::Portable, precision: Precision::F32 }
    }

    /// The same instruction set with products in this precision.
    ///
    /// # Errors
    /// [`KernelError::PrecisionUnavailable`] for bf16 with AVX-512 on a CPU without AVX512-BF16. There is
    /// no emulation on AVX-512 itself: its sums would round otherwise than the instruction's, and
    /// the same `Cpu` would give other bytes on another machine.
    pub fn with_precision(self, precision: Precision) -> Result<Self, KernelError> {
        if precision == Precision::Bf16 && self.isa == Isa::Avx512 && !Self::has_native_bf16() {
            return Err(KernelError::PrecisionUnavailable { precision, isa: self.isa });
        }
        Ok(Self { precision, ..self })
    }

    /// The precision of products.
    pub fn precision(self) -> Precision {
        self.precision
    }

    /// Whether this CPU has instructions for bf16 that [`Precision::Bf16`] uses with AVX-512.
    pub fn has_native_bf16() -> bool {
        // AMX, where tiles of 16×32 bf16 are multiplied at once, would be asked for here as well.
        #[cfg(target_arch = "x86_64")]
        return has(Isa::Avx512) && is_x86_feature_detected!("avx512bf16");
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// The instruction set that runs.
    pub fn isa(self) -> Isa {
        self.isa
    }

    /// The instruction sets that this CPU has, from the simplest to the best.
    pub fn available() -> Vec<Isa> {
        [Isa::Portable, Isa::Avx2, Isa::Avx512].into_iter().filter(|&isa| has(isa)).collect()
    }
}

#[cfg(target_arch = "x86_64")]
fn has(isa: Isa) -> bool {
    let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    match isa {
        Isa::Portable => true,
        Isa::Avx2 => avx2(),
        Isa::Avx512 => {
            avx2()
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512cd")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has(isa: Isa) -> bool {
    isa == Isa::Portable
}

/// Writes a loop once and compiles it for every instruction set, so that the compiler vectorises it
/// with the widest registers that the [`Cpu`] allows.
///
/// ```text
/// per_isa! {
///     /// y += x, element by element.
///     pub fn add<T>(x: &[T], y: &mut [T]) { for (y, &x) in y.iter_mut().zip(x) { *y += x; } }
/// }
/// add(cpu, &x, &mut y);
/// ```
///
/// The function gets `cpu: Cpu` as its first argument and the bound `T: Real`. Rust never fuses or
/// reorders floating-point operations, so all compiled versions return the same bits. Closures that
/// the body hands to other threads would not inherit the instruction set: keep rayon outside.
macro_rules! per_isa {
    ($($(#[$meta:meta])* $visibility:vis fn $name:ident<$real:ident>(
        $($argument:ident : $type:ty),* $(,)?
    ) $(-> $result:ty)? $body:block)+) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name<$real: $crate::real::Real>(
            cpu: $crate::cpu::Cpu,
            $($argument: $type),*
        ) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body<$real: $crate::real::Real>($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2<$real: $crate::real::Real>($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512<$real: $crate::real::Real>($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            match cpu.isa() {
                $crate::cpu::Isa::Portable => body($($argument),*),
                // SAFETY: a `Cpu` with this instruction set exists only where the CPU has it.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Isa::Avx2 => unsafe { avx2($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Isa::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => body($($argument),*),
            }
        }
    )+};
}
pub(crate) use per_isa;

/// The processor's name as the system tells it, or "unknown CPU"; with its family and model, since
/// some names ("AMD EPYC") stand for several generations.
pub fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |wanted: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == wanted).then(|| value.trim()).filter(|value| !value.is_empty())
        })
    };
    match (value("model name"), value("cpu family"), value("model")) {
        (Some(name), Some(family), Some(model)) => {
            format!("{name} (family {family}, model {model})")
        }
        (Some(name), ..) => name.to_owned(),
        (None, ..) => "unknown CPU".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_a_round_trip() {
        for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512] {
            assert_eq!(isa.to_string().parse::<Isa>(), Ok(isa));
        }
        let error = "sse9".parse::<Isa>().unwrap_err();
        assert!(error.to_string().contains("sse9"), "{error}");
    }

    #[test]
    fn precisions_are_named_and_refused_where_the_cpu_lacks_them() {
        for precision in [Precision::F32, Precision::Bf16] {
            assert_eq!(precision.to_string().parse::<Precision>(), Ok(precision));
        }
        let error = "f16".parse::<Precision>().unwrap_err();
        assert!(error.to_string().contains("\"f16\""), "{error}");
        for isa in Cpu::available() {
            let cpu = Cpu::with(isa).unwrap();
            assert_eq!(cpu.with_precision(Precision::F32), Ok(cpu));
            match cpu.with_precision(Precision::Bf16) {
                Ok(bf16) => {
                    assert_eq!((bf16.isa(), bf16.precision()), (isa, Precision::Bf16));
                    assert_ne!(bf16, cpu);
                    assert_eq!(bf16.to_string(), format!("{isa} in bf16"));
                }
                Err(error) => {
                    assert!(isa == Isa::Avx512 && !Cpu::has_native_bf16());
                    assert!(error.to_string().contains("AVX512-BF16"), "{error}");
                }
            }
        }
    }

    #[test]
    fn only_what_the_cpu_has_can_be_made() {
        let available = Cpu::available();
        assert_eq!(available.first(), Some(&Isa::Portable));
        for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512] {
            match Cpu::with(isa) {
                Ok(cpu) => assert!(available.contains(&isa) && cpu.isa() == isa),
                Err(error) => assert_eq!(
                    error,
                    KernelError::IsaUnavailable { asked: isa, available: available.clone() }
                ),
            }
        }
        assert_eq!(Some(&Cpu::detect().isa()), available.last());
    }
}
