//! Which instruction set runs: a value that the caller passes to every kernel, no global state.
//!
//! A [`Cpu`] can only be made for an instruction set that this machine has. Holding one is therefore
//! the proof on which every call into a `#[target_feature]` function in this crate rests.

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

/// The code path of a kernel call. Results are the same bytes for the same `Cpu` value on every
/// machine that can make it; between instruction sets they differ in rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    isa: Isa,
}

impl Cpu {
    /// The best instruction set that this CPU has.
    pub fn detect() -> Self {
        let best = Self::available().into_iter().max().unwrap_or(Isa::Portable);
        Self { isa: best }
    }

    /// Forces an instruction set.
    ///
    /// # Errors
    /// [`KernelError::IsaUnavailable`] when this CPU lacks it.
    pub fn with(isa: Isa) -> Result<Self, KernelError> {
        if has(isa) {
            Ok(Self { isa })
        } else {
            Err(KernelError::IsaUnavailable { asked: isa, available: Self::available() })
        }
    }

    /// The portable path, which every machine has.
    pub const fn portable() -> Self {
        Self { isa: Isa::Portable }
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
